// Between the shards of one node.
//
// A datagram comes to the shard that its sender's address and port say (shell/driver/steering.h), which is that of his session,
// until his address changes.  Then it is handed to the shard that its receiver index names, or, if it is an initiation, to the one
// that knows its static key, and that one answers from its own socket: the same port.  The session does not move.
#include "core/node/node.h"

namespace macrovpn::node {

using Kind = ShardNote::Kind;

// Only what came to the listening socket: on the other one receiver indexes are our callers', whose bits mean nothing here.
std::optional<ShardId> Node::owner_elsewhere(const Datagram& d) const {
  const ShardId owner = shard_of(encryption::receiver_index(d.packet.bytes()));
  const bool theirs = owner != config_.place.shard && owner.value < config_.place.shards;
  return theirs && d.socket == kListenSocket ? std::optional(owner) : std::nullopt;
}

void Node::hand_over(ShardId to, Kind kind, Datagram& d, MaskId mask, const Upstream& from, Effects& fx) {
  counters_.strays++;
  ShardNote n;
  n.kind = kind;
  n.from = config_.place.shard;
  n.remote = d.remote;
  n.local = d.local;
  n.mask = masks_.name_of(mask);
  n.through_relay = from.relay.has_value();
  n.relay = from.relay.value_or(PeerId{});
  n.relays_before = from.relays_before;
  n.caller = from.caller;
  fx.to_shards.push_back({to, n, std::move(d.packet)});
}

void Node::on_stray(Now now, ShardMessage& m, Effects& fx) {
  ShardNote& n = m.note;
  const auto mask = masks_.id_of(n.mask);
  if (!mask || !m.packet) return;
  if (n.kind == Kind::datagram) {
    // Handed over once and no further: if its session has ended, it is refused here.
    opening_.push_back({std::move(m.packet), Route::udp(kListenSocket, n.remote, *mask, n.local)});
    return;
  }
  open_all(now, fx);
  // It was read once already, by the other shard; its bytes are as they were.
  const bool plain = n.mask.kind == MaskName::Kind::plain;
  encryption::HandshakeDatagram h{.message = m.packet.bytes()};
  if (!plain) {
    const auto parsed = encryption::parse_handshake_datagram(m.packet.bytes());
    if (!parsed.ok()) return;
    h = *parsed;
  }
  Upstream from{n.relays_before, std::nullopt, n.caller};
  if (n.through_relay) from.relay = n.relay;
  if (from.relay) {
    const RelayInfo* relay = directory_.find(*from.relay, now.wall);
    if (relay == nullptr || !masks_.pair(relay->wireguard)) return;
  }
  Datagram d{kListenSocket, n.remote, std::move(m.packet), n.local};
  answer(now, d, *mask, h, from, Handed::over, fx);
}

void Node::on_shard_messages(Now now, std::span<ShardMessage> batch, Effects& fx) {
  for (ShardMessage& m : batch) {
    if (m.note.is_stray()) {
      on_stray(now, m, fx);
    } else {
      on_shard_message(now, m, fx);
    }
  }
  open_all(now, fx);
  finish(now, fx);
}

void Node::on_shard_message(Now now, ShardMessage& m, Effects& fx) {
  const ShardNote& n = m.note;
  if (n.is_asked()) return asked_from_elsewhere(now, n, m.packet ? m.packet.bytes() : Bytes{}, fx);
  if (!exit_) return;
  switch (n.kind) {
    case Kind::ask:
      return exit_->asked_from_elsewhere(n, m.packet.bytes(), fx);
    case Kind::confirmed:
      return exit_->take_effect(now, n.session, fx);
    case Kind::taken:
      return exit_->taken_elsewhere(now, n.session, n.from, fx);
    case Kind::release:
      return exit_->on_release(now, n.session, m.packet.bytes(), fx);
    case Kind::gone:
      return exit_->gone_elsewhere(now, n.session);
    case Kind::outward:
      return exit_->to_private(n.session, std::move(m.packet), fx);
    case Kind::inward:
      return egress_.payload(n.session, std::move(m.packet));
    case Kind::frame:
      return egress_.frame(n.session, m.packet.bytes());
    case Kind::datagram:
    case Kind::initiation:
    case Kind::question:
    case Kind::dial:
    case Kind::measure:
    case Kind::record:
      return;
  }
}

// What only the first shard has.
void Node::asked_from_elsewhere(Now now, const ShardNote& n, Bytes body, Effects& fx) {
  if (n.kind == Kind::question && body.empty()) {
    if (verify_) verify_->caller_gone(n.session);
    if (measure_) measure_->caller_gone(n.session);
    if (live_) live_->caller_gone(now, n.session, fx);
  } else if (n.kind == Kind::question) {
    if (live_) live_->on_frame(now, {n.session, n.remote.address}, body, false, fx);
  } else if (n.kind == Kind::dial) {
    if (verify_) verify_->on_dial(now, n.session, n.caller, body);
  } else if (n.kind == Kind::measure) {
    if (measure_ && !body.empty()) measure_->on_request(now, {n.session, n.caller, n.h1}, {routing::FrameType{body[0]}, body.subspan(1)});
  } else if (records_kept_ && !body.empty()) {
    records_kept_->on_request(now, n.session, n.caller, routing::FrameType{body[0]}, body.subspan(1), fx);
  }
}

}  // namespace macrovpn::node
