#include "core/node/exit_side.h"

#include "core/routing/address_rewrite.h"

namespace macrovpn::node {

using routing::ErrorCode;

namespace {
constexpr size_t kHeaders = kCarriedHeaders + encryption::kTransportOverhead;
}

void ExitSide::refuse(PeerRef session, ErrorCode code, Effects& fx) {
  counters_.refused++;
  send_frame(session, routing::write_error(code, {0}), fx);
}

void ExitSide::on_lease(Now now, PeerRef session, const CallerKey& caller, Bytes body,
                        const crypto::Hash32& h1, When when, Effects& fx) {
  const auto f = routing::read_lease(body);
  if (!f || f->mtu < kLeastMtu || f->mtu > kPacketMax) {
    counters_.refused++;
    return;
  }
  if (!s_.config.relay->exit) return refuse(session, ErrorCode::no_exit, fx);
  if (s_.service != peers::Service::open) return refuse(session, ErrorCode::going_away, fx);
  if (const auto owner = owner_elsewhere(session, *f)) {
    ask_elsewhere(*owner, session, caller, body, h1, fx);
  } else {
    // The client asks again because GRANTED was lost, or because its circuit carries another size now.
    if (const auto held = held_already(session, *f); held && when == When::now) return repeat(session, *held, f->mtu, fx);
    if (const auto r = leases_.request(session, caller, *f, h1); !r.ok()) return refuse(session, r.error(), fx);
  }
  if (when == When::now) session_confirmed(now, session, fx);
}

// What a session asks for, if it has that.  A resume too: taken twice it would have two secrets, and the answers may come in any order.
std::optional<routing::LeaseTable::Taken> ExitSide::held_already(PeerRef session, const routing::LeaseFrame& f) const {
  auto held = leases_.granted(session);
  if (held && (f.flags & routing::kLeaseResume) != 0 && held->id != f.id) held.reset();
  return held;
}

void ExitSide::repeat(PeerRef session, routing::LeaseTable::Taken held, uint16_t mtu, Effects& fx) {
  if (leases_.set_mtu(session, mtu)) {
    held.mtu = mtu;
    fx.exit_leases.push_back({held.number, mtu});
  }
  grant(session, held, fx);
}

void ExitSide::session_confirmed(Now now, PeerRef session, Effects& fx) {
  take_effect(now, session, fx);
  const auto e = elsewhere_.find(session);
  if (e == elsewhere_.end() || !e->second.asked) return;
  fx.to_shards.push_back(message(*std::exchange(e->second.asked, std::nullopt), ShardNote::Kind::confirmed, session));
}

void ExitSide::take_effect(Now now, PeerRef session, Effects& fx) {
  const auto taken = leases_.confirmed(now.mono, session);
  if (!taken) return;
  if (!taken->ok()) return refuse(session, taken->error(), fx);
  const routing::LeaseTable::Taken& t = taken->value();
  if (is_ours(session)) {
    let_go_elsewhere(session, fx);
  } else {
    fx.to_shards.push_back(message(shard_of(session), ShardNote::Kind::taken, session));
  }
  grant(session, t, fx);
  fx.exit_leases.push_back({t.number, t.mtu});
  for (const PeerRef old : t.moved_from)
    send_frame(old, routing::write_lease_id(routing::FrameType::moved, t.id), fx);
}

void ExitSide::grant(PeerRef session, const routing::LeaseTable::Taken& t, Effects& fx) {
  const uint8_t flags = routing::kGrantedV4 | (s_.config.relay->exit_v6 ? routing::kGrantedV6 : 0);
  send_frame(session, routing::write_granted({t.id, t.secret, flags, t.mtu}), fx);
}

void ExitSide::on_release(Now now, PeerRef session, Bytes body, Effects& fx) {
  const auto id = routing::read_lease_id(body);
  if (!id) return;
  const auto e = elsewhere_.find(session);
  if (e != elsewhere_.end() && e->second.holds == routing::shard_of(*id)) {
    fx.to_shards.push_back(message(*e->second.holds, ShardNote::Kind::release, session, body));
  } else {
    leases_.release(now.mono, session, *id);
  }
}

void ExitSide::session_gone(Now now, PeerRef session, Effects& fx) {
  leases_.session_gone(now.mono, session);
  const auto e = elsewhere_.find(session);
  if (e == elsewhere_.end()) return;
  for (uint8_t i = 0; i < kMaxShards; i++) {
    if ((e->second.told >> i & 1) != 0) fx.to_shards.push_back(message(ShardId{i}, ShardNote::Kind::gone, session));
  }
  elsewhere_.erase(e);
}

void ExitSide::on_packet(Now now, PeerRef session, Packet&& packet, Effects& fx) {
  if (leases_.lease_of(session).value == 0) {
    const auto e = elsewhere_.find(session);
    if (e != elsewhere_.end() && e->second.holds) {
      if (!s_.resources.carry(now.mono, session, packet.size() + kHeaders)) return;
      ShardMessage m = message(*e->second.holds, ShardNote::Kind::outward, session);
      m.packet = std::move(packet);
      fx.to_shards.push_back(std::move(m));
      return;
    }
  }
  const size_t size = packet.size() + kHeaders;
  if (!rewrite(session, packet) || !s_.resources.carry(now.mono, session, size)) return;
  counters_.packets_out++;
  fx.exit_packets.push_back(std::move(packet));
}

bool ExitSide::rewrite(PeerRef session, Packet& packet) {
  const routing::LeaseNumber lease = leases_.lease_of(session);
  if (lease.value != 0 && routing::rewrite_to_private(packet.bytes(), lease).ok()) return true;
  counters_.without_lease++;
  return false;
}

void ExitSide::on_exit_packets(Now now, std::span<Packet> packets, Effects& fx) {
  for (Packet& p : packets) {
    const auto lease = routing::rewrite_from_private(p.bytes());
    if (!lease.ok()) continue;
    const PeerRef session = leases_.session_of(*lease);
    if (session.value == 0 || !s_.resources.carry(now.mono, session, p.size() + kHeaders)) continue;
    counters_.packets_in++;
    if (is_ours(session)) {
      s_.egress.payload(session, std::move(p));
      continue;
    }
    ShardMessage m = message(shard_of(session), ShardNote::Kind::inward, session);
    m.packet = std::move(p);
    fx.to_shards.push_back(std::move(m));
  }
}

void ExitSide::end_all(Now now, Effects& fx) {
  leases_.close_all(now.mono);
  on_deadline(now, fx);
}

void ExitSide::on_deadline(Now now, Effects& fx) {
  std::vector<routing::LeaseNumber> forgotten;
  leases_.expire(now.mono, forgotten);
  for (const routing::LeaseNumber n : forgotten) fx.exit_leases.push_back({n, std::nullopt});
}

}  // namespace macrovpn::node
