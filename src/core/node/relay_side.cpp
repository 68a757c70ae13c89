#include "core/node/relay_side.h"

#include <algorithm>

#include "model/special_purpose.h"

namespace macrovpn::node {

using encryption::MessageType;
using routing::ErrorCode;

namespace {

constexpr uint64_t kForwardPadding = 64;

size_t relayed_size(MessageType type, size_t payload) {
  switch (type) {
    case MessageType::initiation:
      return encryption::kInitiationSize;
    case MessageType::response:
      return encryption::kResponseSize;
    case MessageType::cookie_reply:
      return encryption::kCookieReplySize;
    case MessageType::transport:
      return payload;
  }
  return payload;
}

}  // namespace

bool may_send_to(const NodeConfig& config, const IpAddress& to) {
  const auto& own = config.relay->own_networks;
  const auto& lab = config.network.extra_global;
  const auto holds = [&](const IpPrefix& p) { return p.contains(to); };
  const bool is_us =
      std::any_of(own.begin(), own.end(), [&](const IpPrefix& p) { return p.length == to.bits() && holds(p); });
  // In a lab all nodes may share one TEST-NET, which then is no LAN.
  const bool is_near =
      std::any_of(own.begin(), own.end(), holds) && std::none_of(lab.begin(), lab.end(), holds);
  return !is_us && !is_near && is_global_unicast(to, lab);
}

// A rekey must not win anything: neither fresh allowances, nor a shorter way, nor another's share.
void RelaySide::session_accepted(PeerRef peer, const Upstream& from) {
  const auto [it, fresh] = upstreams_.try_emplace(peer, from);
  if (fresh) return;
  it->second.relays_before = std::max(it->second.relays_before, from.relays_before);
  it->second.relay = from.relay;
}

bool RelaySide::comes_its_way(PeerRef upstream, bool from_relay) const {
  const auto it = upstreams_.find(upstream);
  return it != upstreams_.end() && it->second.relay.has_value() == from_relay;
}

void RelaySide::session_gone(PeerRef peer) {
  upstreams_.erase(peer);
  legs_.close_all(peer);
}

bool RelaySide::may_sign(Now now, PeerRef upstream) {
  const auto it = upstreams_.find(upstream);
  return it != upstreams_.end() && it->second.signatures.take(now.mono);
}

bool RelaySide::may_lease(Now now, PeerRef upstream) {
  const auto it = upstreams_.find(upstream);
  return it != upstreams_.end() && it->second.leases.take(now.mono);
}

CallerKey RelaySide::caller_of(PeerRef upstream) const {
  const auto it = upstreams_.find(upstream);
  return it == upstreams_.end() ? CallerKey{} : it->second.caller;
}

// Lost ones are said again; who has gone by then is not there any more to be told.
void RelaySide::say_goodbye(Now now) {
  auto at = upstreams_.upper_bound(last_told_);
  for (size_t n = 0; n < kGoodbyesAtOnce && at != upstreams_.end(); n++, ++at) {
    s_.egress.frame(at->first, routing::write_error(ErrorCode::going_away, {0}));
    last_told_ = at->first;
  }
  const bool round_over = at == upstreams_.end();
  if (round_over) last_told_ = {};
  goodbye_at_ = now.mono + (round_over ? kGoodbyeAgain : kGoodbyePause);
}

void RelaySide::service_changed(Now now) {
  last_told_ = {};
  goodbye_at_ = s_.service == peers::Service::draining ? now.mono : kNever;
  if (s_.service == peers::Service::draining) say_goodbye(now);
  if (s_.service != peers::Service::closed) return;
  for (const auto& [peer, from] : upstreams_) legs_.close_all(peer);
}

void RelaySide::on_deadline(Now now) {
  legs_.expire(now.mono);
  if (now.mono >= goodbye_at_) say_goodbye(now);
}

void RelaySide::error(PeerRef upstream, ErrorCode code, LegNumber leg) {
  counters_.refused++;
  s_.egress.frame(upstream, routing::write_error(code, leg));
}

Result<routing::NextHop, ErrorCode> RelaySide::hop_to(const RelayInfo& relay, const Endpoint& at, SocketId socket) {
  if (!may_send_to(s_.config, at.address)) return Failure{ErrorCode::refused_endpoint};
  const auto pair = s_.masks.pair(relay.wireguard);
  if (!pair) return Failure{ErrorCode::refused_endpoint};
  const auto called = s_.masks.called(relay.wireguard);
  if (!called) return Failure{ErrorCode::full};
  return routing::NextHop{relay.id, at, *called, *pair, socket};
}

Result<RelaySide::NextWay, ErrorCode> RelaySide::next_hop(Now now, const Upstream& from, const Wanted& w) {
  if (w.relays_before >= kMostRelaysBefore) return Failure{ErrorCode::too_deep};
  const RelayInfo* relay = s_.directory.find(w.relay, now.wall);
  if (relay == nullptr) return Failure{ErrorCode::unknown_relay};
  if (relay->id == s_.self || relay->wireguard == s_.config.wireguard.pub || relay->id == from.relay) return Failure{ErrorCode::refused_endpoint};
  if (!relay->introducers.empty()) return way_to_guest(now, from, w, *relay);
  if (w.asked == Asked::by_splice || w.endpoint >= relay->endpoints.size()) return Failure{ErrorCode::refused_endpoint};
  TRY(const routing::NextHop hop, hop_to(*relay, relay->endpoints[w.endpoint], kEgressSocket));
  return NextWay{hop};
}

void RelaySide::call(Now now, const routing::NextHop& next, Bytes message, Bytes early,
                     unsigned relays_before) {
  Packet p = s_.pool.copy_of(message);
  routing::set_leg(p.data(), {0});
  encryption::append_early(p, early);
  encryption::append_trailer(
      p, s_.masks.pair_keys(next.pair_mask),
      {s_.self, static_cast<uint8_t>(relays_before), s_.masks.next_number(next.pair_mask, now.wall)});
  const size_t total = p.size() + s_.rng.below(kForwardPadding);
  encryption::append_padding(p, s_.rng, std::min(total, encryption::kMaxHandshakeDatagram));
  s_.masks.note_endpoint(next.endpoint, next.called_mask);
  s_.masks.note_endpoint(next.endpoint, next.pair_mask);
  s_.resources.carry_always(p.size() + kCarriedHeaders);
  s_.egress.datagram(next.socket, next.endpoint, next.called_mask, std::move(p));
}

Result<void, ErrorCode> RelaySide::extend(Now now, PeerRef upstream, const Wanted& w, const routing::Element& element) {
  const auto from = upstreams_.find(upstream);
  if (from == upstreams_.end()) return Failure{ErrorCode::refused_endpoint};
  if (s_.service != peers::Service::open) return Failure{ErrorCode::going_away};
  if (!from->second.handshakes.take(now.mono)) return Failure{ErrorCode::full};
  const size_t size = element.message.size() + encryption::kLengthFieldSize + element.early.size();
  if (size + encryption::kTrailerSize > encryption::kMaxHandshakeDatagram)
    return Failure{ErrorCode::too_deep};
  // Said again: the way to a guest may be another by now, the leg stays where it is.
  routing::LegTable::Leg* leg = legs_.find_down(upstream, element.leg);
  const bool again = leg != nullptr && leg->next.relay == w.relay && (leg->splice.link.value != 0 || leg->next.socket != kEgressSocket);
  if (!again) {
    TRY(const NextWay way, next_hop(now, from->second, w));
    TRY(leg, legs_.open(upstream, from->second.caller, element.leg, way.hop, way.splice));
    counters_.spliced += !leg->direct;
  }
  leg->relays_before = w.relays_before;
  TRY_VOID(legs_.register_index(now.mono, *leg, encryption::sender_index(element.message)));
  if (leg->direct) {
    call(now, leg->next, element.message, element.early, w.relays_before);
    return {};
  }
  auto message = std::vector<uint8_t>(element.message.begin(), element.message.end());
  const auto inner = routing::write_element(message, leg->splice.number, element.early);
  links_.send(now, leg->splice.link, routing::write_splice({static_cast<uint8_t>(w.relays_before), w.relay, inner}));
  introductions_.come_together(now, w.relay, leg->splice.link);
  return {};
}

void RelaySide::extend_or_refuse(Now now, PeerRef upstream, const Wanted& w, Bytes bytes) {
  const auto element = routing::read_element(bytes);
  if (!element) {
    counters_.dropped++;
    return;
  }
  if (const auto done = extend(now, upstream, w, *element); !done.ok()) {
    error(upstream, done.error(), element->leg);
    return;
  }
  counters_.extended++;
}

void RelaySide::on_extend(Now now, PeerRef upstream, Bytes body) {
  const auto f = routing::read_extend(body);
  const auto from = upstreams_.find(upstream);
  if (!f || from == upstreams_.end()) {
    counters_.dropped++;
    return;
  }
  extend_or_refuse(now, upstream, {f->relay, f->endpoint, from->second.relays_before, Asked::by_extend}, f->element);
}

void RelaySide::on_relayed_down(Now now, PeerRef upstream, Packet&& packet) {
  const MessageType type = static_cast<MessageType>(packet.data()[0]);
  routing::LegTable::Leg* leg = legs_.find_down(upstream, routing::leg_of(packet.bytes()));
  const size_t size = relayed_size(type, packet.size());
  if (leg == nullptr) {
    if (type == MessageType::initiation)
      error(upstream, ErrorCode::no_such_leg, routing::leg_of(packet.bytes()));
    counters_.dropped++;
    return;
  }
  if (packet.size() < size ||
      (type == MessageType::transport ? !leg->answered : type != MessageType::initiation)) {
    counters_.dropped++;
    return;
  }
  packet.truncate(size);
  if (type == MessageType::initiation) {
    if (!upstreams_.at(upstream).handshakes.take(now.mono))
      return error(upstream, ErrorCode::full, leg->number);
    if (!leg->direct) straighten(now, *leg);
    if (const auto r = legs_.register_index(now.mono, *leg, encryption::sender_index(packet.bytes()));
        !r.ok()) {
      error(upstream, r.error(), leg->number);
      return;
    }
    if (leg->direct) return call(now, leg->next, packet.bytes(), {}, leg->relays_before);
    introductions_.way_used(now, leg->splice.link);
    introductions_.come_together(now, leg->next.relay, leg->splice.link);
  } else if (!s_.resources.carry(now.mono, upstream, packet.size() + kCarriedHeaders)) {
    return;
  }
  counters_.forwarded_down++;
  counters_.forwarded_bytes += packet.size();
  if (!leg->direct) {
    routing::set_leg(packet.data(), leg->splice.number);
    return s_.egress.payload(leg->splice.link, std::move(packet));
  }
  routing::set_leg(packet.data(), {0});
  s_.egress.datagram(leg->next.socket, leg->next.endpoint, leg->next.pair_mask, std::move(packet));
}

void RelaySide::on_answer(Now now, const Endpoint& from, Packet&& packet) {
  const MessageType type = static_cast<MessageType>(packet.data()[0]);
  routing::LegTable::Leg* leg = nullptr;
  if (type != MessageType::initiation)
    leg = legs_.find_up(now.mono, from, encryption::receiver_index(packet.bytes()));
  if (leg == nullptr || (type == MessageType::transport && packet.size() % 16 != 0)) {
    counters_.dropped++;
    return;
  }
  pass_up(now, *leg, std::move(packet));
}

void RelaySide::pass_up(Now now, routing::LegTable::Leg& leg, Packet&& packet) {
  const MessageType type = static_cast<MessageType>(packet.data()[0]);
  if (type == MessageType::response) legs_.answered(leg);
  if (type != MessageType::transport) {
    s_.resources.carry_always(packet.size() + kCarriedHeaders);
  } else if (!s_.resources.carry(now.mono, leg.upstream, packet.size() + kCarriedHeaders)) {
    return;
  }
  routing::set_leg(packet.data(), leg.number);
  counters_.forwarded_up++;
  counters_.forwarded_bytes += packet.size();
  s_.egress.payload(leg.upstream, std::move(packet));
}

void RelaySide::check_invariants() const {
  legs_.check_invariants();
  MV_ASSERT(upstreams_.size() == s_.tunnels.ephemeral_count());
}

}  // namespace macrovpn::node
