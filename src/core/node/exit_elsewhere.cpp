// Sessions of one shard with leases of another (exit_side.h).
#include <utility>

#include "core/node/exit_side.h"

namespace macrovpn::node {

using Kind = ShardNote::Kind;

ShardMessage ExitSide::message(ShardId to, Kind kind, PeerRef session) const {
  ShardNote n;
  n.kind = kind;
  n.from = s_.config.place.shard;
  n.session = session;
  return {to, n, {}};
}

ShardMessage ExitSide::message(ShardId to, Kind kind, PeerRef session, Bytes body) const {
  ShardMessage m = message(to, kind, session);
  m.packet = s_.pool.copy_of(body);
  return m;
}

void ExitSide::send_frame(PeerRef session, Bytes frame, Effects& fx) {
  if (is_ours(session)) return s_.egress.frame(session, frame);
  fx.to_shards.push_back(message(shard_of(session), Kind::frame, session, frame));
}

// ---- a session of ours and leases of others

// Nothing: it is for us to decide.  Who asks for a lease without naming one may have lost the answer of another shard.
std::optional<ShardId> ExitSide::owner_elsewhere(PeerRef session, const routing::LeaseFrame& f) const {
  if (!is_ours(session)) return std::nullopt;
  std::optional<ShardId> owner;
  if ((f.flags & routing::kLeaseResume) != 0) {
    owner = routing::shard_of(f.id);
  } else if (const auto e = elsewhere_.find(session); e != elsewhere_.end()) {
    owner = e->second.holds;
  }
  const bool elsewhere = owner && *owner != s_.config.place.shard && owner->value < s_.config.place.shards;
  return elsewhere ? owner : std::nullopt;
}

void ExitSide::ask_elsewhere(ShardId owner, PeerRef session, const CallerKey& caller, Bytes body, const crypto::Hash32& h1,
                             Effects& fx) {
  leases_.cancel(session);  // the newest request counts
  Elsewhere& e = elsewhere_[session];
  e.told = static_cast<uint16_t>(e.told | 1u << owner.value);
  e.asked = owner;
  ShardMessage m = message(owner, Kind::ask, session, body);
  m.note.caller = caller;
  m.note.h1 = h1;
  fx.to_shards.push_back(std::move(m));
}

// A session holds one lease: that of another shard goes with one of ours.
void ExitSide::let_go_elsewhere(PeerRef session, Effects& fx) {
  const auto e = elsewhere_.find(session);
  if (e == elsewhere_.end()) return;
  if (const auto before = std::exchange(e->second.holds, std::nullopt))
    fx.to_shards.push_back(message(*before, Kind::gone, session));
}

void ExitSide::taken_elsewhere(Now now, PeerRef session, ShardId owner, Effects& fx) {
  const auto e = elsewhere_.find(session);
  if (e == elsewhere_.end()) return;  // it has ended, which its owner was told
  if (e->second.holds != owner) let_go_elsewhere(session, fx);
  e->second.holds = owner;
  leases_.session_gone(now.mono, session);  // one of ours that it held
}

// ---- a lease of ours and sessions of others

void ExitSide::asked_from_elsewhere(const ShardNote& note, Bytes body, Effects& fx) {
  const auto f = routing::read_lease(body);
  if (!f) return;
  if (const auto held = held_already(note.session, *f)) return repeat(note.session, *held, f->mtu, fx);
  if (s_.service != peers::Service::open) return refuse(note.session, routing::ErrorCode::going_away, fx);
  if (const auto r = leases_.request(note.session, note.caller, *f, note.h1); !r.ok()) refuse(note.session, r.error(), fx);
}

void ExitSide::to_private(PeerRef session, Packet&& packet, Effects& fx) {
  if (!rewrite(session, packet)) return;
  counters_.packets_out++;
  fx.exit_packets.push_back(std::move(packet));
}

}  // namespace macrovpn::node
