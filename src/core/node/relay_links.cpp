#include "core/node/relay_links.h"

#include <algorithm>

#include "crypto/x25519.h"

namespace macrovpn::node {

// Of several shards the listening port is everybody's, and another one may get the answer, which it could not unmask.
SocketId RelayLinks::socket() const { return s_.config.place.shards > 1 ? kEgressSocket : kListenSocket; }

std::optional<PeerRef> RelayLinks::open(Now now, const Contact& to, LinkUse use, uint8_t endpoint, std::optional<SocketId> from) {
  if (endpoint >= to.endpoints.size() || to.wireguard == s_.config.wireguard.pub) return std::nullopt;
  const Endpoint& e = to.endpoints[endpoint];
  const auto mask = s_.masks.called(to.wireguard);
  if (!mask) return std::nullopt;
  s_.masks.note_endpoint(e, *mask);
  const SocketId by = from.value_or(socket());
  return add(now, {.to = to, .use = use, .endpoint = endpoint, .socket = by}, Route::udp(by, e, *mask));
}

std::optional<PeerRef> RelayLinks::open_through(Now now, PeerRef carrier, const Contact& to, LinkUse use, uint8_t endpoint) {
  const auto info = s_.tunnels.info(carrier);
  if (!info || !info->established || endpoint >= to.endpoints.size()) return std::nullopt;
  const LegNumber leg{1 + static_cast<uint32_t>(s_.rng.below(kMaxLegNumber))};
  return add(now, {.to = to, .use = use, .endpoint = endpoint, .socket = {}, .carrier = carrier, .leg = leg}, Route::through(carrier, leg));
}

std::optional<PeerRef> RelayLinks::add(Now now, Link&& link, const Route& route) {
  const auto of_use = std::count_if(links_.begin(), links_.end(), [&](const auto& l) { return l.second.use == link.use; });
  if (links_.size() >= kMaxLinks || static_cast<size_t>(of_use) >= kMaxLinksOfUse) return std::nullopt;
  const auto peer = s_.tunnels.add_hop(now.mono, {crypto::x25519_generate(s_.rng), link.to.wireguard, route});
  if (!peer.ok()) return std::nullopt;
  Link& l = links_[*peer] = std::move(link);
  call_anew(now, *peer, l);
  return *peer;
}

void RelayLinks::call_anew(Now now, PeerRef peer, Link& link) {
  link.calling = true;
  link.sent_cookie = false;
  link.again_at = now.mono + kLinkAgain;
  link.gives_up = now.mono + kLinkTimeout;
  link.unheard_since = link.ping_at = kNever;
  call(now, peer, link);
}

void RelayLinks::call(Now now, PeerRef peer, Link& link) {
  const auto init = s_.tunnels.start_handshake(now, peer);
  if (init.ok()) send_initiation(now, link, *init);  // else the timeout cleans up
}

void RelayLinks::send_initiation(Now, const Link& link, const encryption::Initiation& init) {
  if (link.carrier.value != 0) {
    const auto element = routing::write_element(init.message, link.leg, {});
    s_.egress.frame(link.carrier, routing::write_extend(link.to.id, link.endpoint, element));
    return;
  }
  const auto mask = s_.masks.called(link.to.wireguard);
  if (!mask) return;
  Packet p = s_.pool.copy_of(init.message);
  encryption::append_early(p, {});
  const size_t total = p.size() + 64 + s_.rng.below(192);
  encryption::append_padding(p, s_.rng, std::min(total, encryption::kMaxHandshakeDatagram));
  const Endpoint& e = link.to.endpoints[link.endpoint];
  s_.masks.note_endpoint(e, *mask);
  s_.egress.datagram(link.socket, e, *mask, std::move(p));
}

void RelayLinks::close(PeerRef peer) {
  if (const auto it = links_.find(peer); it != links_.end()) forget(it);
}

RelayLinks::Links::iterator RelayLinks::forget(Links::iterator it) {
  const Link& link = it->second;
  if (link.was_up) s_.egress.frame_last(it->first, routing::write_close({0}));
  if (link.carrier.value != 0 && s_.tunnels.kind_of(link.carrier)) s_.egress.frame_last(link.carrier, routing::write_close(link.leg));
  doomed_.push_back(it->first);
  return links_.erase(it);
}

RelayLinks::Links::iterator RelayLinks::end(Links::iterator it, LinkEvent::Kind kind) {
  events_.push_back({kind, it->second.use, it->first, it->second.to.id});
  return forget(it);
}

void RelayLinks::after_flush() {
  for (const PeerRef p : doomed_) s_.tunnels.remove(p);
  doomed_.clear();
}

bool RelayLinks::is_up(PeerRef link) const {
  const auto it = links_.find(link);
  return it != links_.end() && it->second.was_up;
}

std::optional<LinkUse> RelayLinks::use_of(PeerRef link) const {
  const auto it = links_.find(link);
  return it == links_.end() ? std::nullopt : std::optional(it->second.use);
}

std::optional<PeerId> RelayLinks::relay_of(PeerRef link) const {
  const auto it = links_.find(link);
  return it == links_.end() ? std::nullopt : std::optional(it->second.to.id);
}

void RelayLinks::send(Now now, PeerRef peer, Bytes frame) {
  const auto it = links_.find(peer);
  if (it == links_.end()) return;
  Link& link = it->second;
  const auto info = s_.tunnels.info(peer);
  if (!link.calling && !(info && info->established)) call_anew(now, peer, link);  // it lapsed
  if (link.calling && !(info && info->established)) {
    if (link.waiting.size() >= kMaxLinkWaiting) link.waiting.pop_front();
    link.waiting.emplace_back(frame.begin(), frame.end());
    return;
  }
  if (link.unheard_since == kNever || info->last_received > link.unheard_since) {
    link.unheard_since = now.mono;
    link.ping_at = now.mono + kLinkPing;
  }
  s_.egress.frame(peer, frame);
}

bool RelayLinks::session_up(Now now, PeerRef peer) {
  const auto it = links_.find(peer);
  if (it == links_.end()) return false;
  Link& link = it->second;
  link.calling = false;
  link.again_at = link.gives_up = kNever;
  if (!std::exchange(link.was_up, true)) events_.push_back({LinkEvent::Kind::up, link.use, peer, link.to.id});
  for (const auto& frame : std::exchange(link.waiting, {})) send(now, peer, frame);
  return true;
}

bool RelayLinks::handshake_failed(PeerRef peer) {
  const auto it = links_.find(peer);
  if (it == links_.end()) return false;
  end(it, it->second.was_up ? LinkEvent::Kind::ended : LinkEvent::Kind::failed);
  return true;
}

// A relay under load wants its cookie in the initiation: asked again, once.
void RelayLinks::cookie_came(Now now, const Route& from) {
  for (auto& [peer, link] : links_) {
    const auto info = s_.tunnels.info(peer);
    const bool same = info && info->route.kind == from.kind && info->route.endpoint == from.endpoint && info->route.carrier == from.carrier &&
                      info->route.leg == from.leg;
    if (same && link.calling && !std::exchange(link.sent_cookie, true)) call(now, peer, link);
  }
}

bool RelayLinks::on_carrier_error(PeerRef carrier, const routing::ErrorFrame& e) {
  const auto it = std::find_if(links_.begin(), links_.end(), [&](const auto& l) { return l.second.carrier == carrier && l.second.leg == e.leg; });
  if (e.leg.value == 0 || it == links_.end()) return false;
  end(it, it->second.was_up ? LinkEvent::Kind::ended : LinkEvent::Kind::failed);
  return true;
}

Mono RelayLinks::deadline_of(const Link& link) { return std::min({link.again_at, link.gives_up, link.ping_at}); }

Mono RelayLinks::next_deadline() const {
  Mono d = kNever;
  for (const auto& [peer, link] : links_) d = std::min(d, deadline_of(link));
  return d;
}

// Something was said, and it is time to look whether anything was heard since.
void RelayLinks::watch(Now now, PeerRef peer, Link& link) {
  const auto info = s_.tunnels.info(peer);
  if (!info || info->last_received >= link.unheard_since) {
    link.unheard_since = link.ping_at = kNever;
    return;
  }
  link.ping_at = now.mono + kLinkPing / 2;
  s_.egress.frame(peer, routing::write_ping(routing::FrameType::ping, {s_.rng.u64(), static_cast<size_t>(s_.rng.below(64))}));
}

void RelayLinks::on_deadline(Now now) {
  for (auto it = links_.begin(); it != links_.end();) {
    auto& [peer, link] = *it;
    const bool carrier_gone = link.carrier.value != 0 && !s_.tunnels.kind_of(link.carrier);
    if (deadline_of(link) > now.mono && !carrier_gone) {
      ++it;
      continue;
    }
    if (now.mono >= link.ping_at) watch(now, peer, link);
    const bool silent = link.unheard_since != kNever && now.mono - link.unheard_since >= kLinkSilence;
    if (carrier_gone || silent || now.mono >= link.gives_up) {
      it = end(it, link.was_up ? LinkEvent::Kind::ended : LinkEvent::Kind::failed);
      continue;
    }
    if (now.mono >= link.again_at) {
      link.again_at = kNever;
      call(now, peer, link);
    }
    ++it;
  }
}

void RelayLinks::check_invariants() const {
  MV_ASSERT(links_.size() <= kMaxLinks);
  for (const auto& [peer, link] : links_) MV_ASSERT(link.waiting.size() <= kMaxLinkWaiting && (link.calling || link.waiting.empty()));
}

}  // namespace macrovpn::node
