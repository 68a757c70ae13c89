// RelaySide's legs to relays behind a NAT (introduction_side.h): straight to a guest that has registered here, else inside our session with one of
// its introducers, which sends them on as legs of its own.  A circuit has one relay more there; the guest counts it.
#include <algorithm>

#include "core/node/relay_side.h"

namespace macrovpn::node {

using encryption::MessageType;
using routing::ErrorCode;
using routing::Splice;

Result<RelaySide::NextWay, ErrorCode> RelaySide::way_to_guest(Now now, const Upstream& from, const Wanted& w, const RelayInfo& guest) {
  if (const Registration* here = introductions_.registered(now, guest.id)) {
    TRY(const routing::NextHop hop, hop_to(guest, here->at, here->socket));
    return NextWay{hop};
  }
  // One introducer, never a chain of them.
  if (w.asked == Asked::by_splice) return Failure{ErrorCode::unknown_relay};
  TRY(const Splice splice, splice_to(now, from, w, guest));
  TRY(const routing::NextHop hop, hop_to(guest, guest.endpoints[0], kEgressSocket));
  return NextWay{hop, splice};
}

// The caller names the introducer, since it alone knows the whole circuit; number 0 leaves it to us.  Never the relay before us: it would learn who
// comes after us.
Result<Splice, ErrorCode> RelaySide::splice_to(Now now, const Upstream& from, const Wanted& w, const RelayInfo& guest) {
  std::vector<const RelayInfo*> fit;
  for (size_t i = 0; i < guest.introducers.size(); i++) {
    if (w.endpoint >= routing::kThroughIntroducer && i != w.endpoint - size_t{routing::kThroughIntroducer}) continue;
    const RelayInfo* r = s_.directory.find(guest.introducers[i], now.wall);
    const bool usable = r != nullptr && r->id != s_.self && r->id != from.relay && r->id != guest.id && r->introducers.empty() &&
                        r->flags.has(RelayFlag::introducer) && may_send_to(s_.config, r->endpoints[0].address);
    if (usable) fit.push_back(r);
  }
  if (fit.empty()) return Failure{ErrorCode::refused_endpoint};
  const auto link = introductions_.way_to(now, *fit[s_.rng.below(fit.size())]);
  if (!link) return Failure{ErrorCode::full};
  Splice splice{*link, {1 + static_cast<uint32_t>(s_.rng.below(kMaxLegNumber))}};
  while (legs_.find_spliced(splice) != nullptr) splice.number = {1 + static_cast<uint32_t>(s_.rng.below(kMaxLegNumber))};
  return splice;
}

// How deep it is, the asker says: it cannot make a circuit shorter than its own session with us is.
void RelaySide::on_splice(Now now, PeerRef upstream, Bytes body) {
  const auto f = routing::read_splice(body);
  const auto from = upstreams_.find(upstream);
  if (!f || from == upstreams_.end() || !s_.config.relay->introducer) {
    counters_.dropped++;
    return;
  }
  const unsigned before = from->second.relays_before + f->relays_before + 1u;
  extend_or_refuse(now, upstream, {f->relay, 0, before, Asked::by_splice}, f->element);
}

// At a rekey, when the guest has come: what follows goes to it directly.  Answers to the session before still come through the splice.
void RelaySide::straighten(Now now, routing::LegTable::Leg& leg) {
  const Registration* here = introductions_.registered(now, leg.next.relay);
  const RelayInfo* guest = s_.directory.find(leg.next.relay, now.wall);
  if (here == nullptr || guest == nullptr) return;
  const auto hop = hop_to(*guest, here->at, here->socket);
  if (!hop.ok()) return;
  legs_.redirect(leg, *hop);
  counters_.straightened++;
}

void RelaySide::on_spliced(Now now, PeerRef link, Packet&& packet) {
  const MessageType type = static_cast<MessageType>(packet.data()[0]);
  routing::LegTable::Leg* leg = legs_.find_spliced({link, routing::leg_of(packet.bytes())});
  const size_t size = type == MessageType::response ? encryption::kResponseSize : type == MessageType::cookie_reply ? encryption::kCookieReplySize : packet.size();
  if (leg == nullptr || type == MessageType::initiation || packet.size() < size || (type == MessageType::transport && size % 16 != 0)) {
    counters_.dropped++;
    return;
  }
  packet.truncate(size);
  pass_up(now, *leg, std::move(packet));
}

void RelaySide::on_splice_error(PeerRef link, const routing::ErrorFrame& e) {
  routing::LegTable::Leg* leg = legs_.find_spliced({link, e.leg});
  if (leg == nullptr || leg->direct) return;
  const PeerRef upstream = leg->upstream;
  const LegNumber number = leg->number;
  error(upstream, e.code, number);
  legs_.close(upstream, number);
}

void RelaySide::drop_lost_splices() {
  for (const PeerRef link : introductions_.take_lost()) {
    for (const auto& [upstream, number] : legs_.spliced_through(link)) {
      if (legs_.find_down(upstream, number)->direct) continue;
      error(upstream, ErrorCode::no_such_leg, number);
      legs_.close(upstream, number);
    }
  }
}

void RelaySide::on_close(PeerRef upstream, LegNumber number) {
  const routing::LegTable::Leg* leg = legs_.find_down(upstream, number);
  if (leg != nullptr && leg->splice.link.value != 0) s_.egress.frame(leg->splice.link, routing::write_close(leg->splice.number));
  legs_.close(upstream, number);
}

}  // namespace macrovpn::node
