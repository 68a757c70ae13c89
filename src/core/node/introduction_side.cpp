// The asker and the introducer.  The guest, and punching: guest_side.cpp.
#include "core/node/introduction_side.h"

#include <algorithm>

#include "core/node/relay_side.h"

namespace macrovpn::node {

using routing::FrameType;

namespace {
constexpr Duration kSweepRegistrations = 10s;
}

std::optional<crypto::Mac16> IntroductionSide::mac_for(Now now, const PeerId& relay, Bytes what) {
  const RelayInfo* info = s_.directory.find(relay, now.wall);
  const auto pair = info != nullptr ? s_.masks.pair(info->wireguard) : std::nullopt;
  return pair ? std::optional(s_.masks.pair_keys(*pair).trailer_mac(what)) : std::nullopt;
}

bool IntroductionSide::is_from(Now now, const PeerId& relay, Bytes what, const crypto::Mac16& mac) {
  const RelayInfo* info = s_.directory.find(relay, now.wall);
  const auto pair = info != nullptr ? s_.masks.pair(info->wireguard) : std::nullopt;
  return pair && s_.masks.pair_keys(*pair).verify_trailer(what, mac);
}

bool IntroductionSide::is_address_of(Now now, const PeerId& relay, const IpAddress& a) const {
  const RelayInfo* info = s_.directory.find(relay, now.wall);
  return info != nullptr && may_send_to(s_.config, a) &&
         std::any_of(info->endpoints.begin(), info->endpoints.end(), [&](const Endpoint& e) { return e.address == a; });
}

// ---- the asker

std::optional<PeerRef> IntroductionSide::way_to(Now now, const RelayInfo& introducer) {
  if (const auto it = ways_.find(introducer.id); it != ways_.end()) {
    it->second.used = now.mono;
    return it->second.link;
  }
  if (ways_.size() >= kMaxWays) return std::nullopt;
  const auto link = links_.open(now, contact_of(introducer), LinkUse::introduction);
  if (link) ways_[introducer.id] = {*link, false, now.mono};
  return link;
}

void IntroductionSide::way_used(Now now, PeerRef link) {
  for (auto& [id, way] : ways_) {
    if (way.link == link) way.used = now.mono;
  }
}

void IntroductionSide::come_together(Now now, const PeerId& guest, PeerRef link) {
  if (const auto it = asks_.find(guest); it != asks_.end() ? now.mono - it->second.at < kAskAgain : asks_.size() >= kMaxAsks) return;
  Ask& ask = asks_[guest] = {link, {}, now.mono, false};
  s_.rng.fill(ask.nonce);
  const auto way = std::find_if(ways_.begin(), ways_.end(), [&](const auto& w) { return w.second.link == link; });
  if (way != ways_.end() && way->second.up) send_ask(now, guest, ask);
}

void IntroductionSide::send_ask(Now now, const PeerId& guest, Ask& ask) {
  const auto info = s_.tunnels.info(ask.link);
  const auto introducer = links_.relay_of(ask.link);
  if (!info || !introducer) return;
  const auto mac = mac_for(now, *introducer, routing::signed_connect(info->our_key, guest, ask.nonce));
  if (!mac) return;
  ask.sent = true;
  counters_.asked++;
  links_.send(now, ask.link, routing::write_connect({s_.self, guest, ask.nonce, *mac, part_with(now, guest)}));
}

void IntroductionSide::on_link_event(Now now, const LinkEvent& e) {
  if (Home* home = home_of(e.link)) {
    if (e.kind == LinkEvent::Kind::up) return say_register(now, *home);
    home->link = {};
    home->registered = false;
    home->again_at = now.mono + kIntroducerAgain;
    if (home->until != kNever) home->until = now.mono;  // it was wanted once; who wants it again asks again
    return;
  }
  const auto way = ways_.find(e.relay);
  if (way == ways_.end() || way->second.link != e.link) return;
  if (e.kind == LinkEvent::Kind::up) {
    way->second.up = true;
    for (auto& [guest, ask] : asks_) {
      if (ask.link == e.link && !ask.sent) send_ask(now, guest, ask);
    }
    return;
  }
  ways_.erase(way);
  lost_.push_back(e.link);
}

// ---- the introducer

void IntroductionSide::on_request(Now now, PeerRef session, const routing::Frame& f) {
  if (f.type == FrameType::register_here) on_register(now, session, f.body);
  if (f.type == FrameType::connect) on_connect(now, session, f.body);
}

// Consent: an introducer takes every relay, others only one that they asked for.
void IntroductionSide::on_register(Now now, PeerRef session, Bytes body) {
  const auto f = routing::read_register(body);
  const auto info = s_.tunnels.info(session);
  if (!f || !info || info->route.kind != Route::Kind::udp) return;
  const SocketId socket = info->route.socket;
  if (socket != kListenSocket && !sockets_.is_of(socket, f->self)) return;
  const auto ask = asks_.find(f->self);
  const bool wanted = s_.config.relay->introducer || ask != asks_.end() || registrations_.find(now.mono, f->self) != nullptr;
  if (!wanted || s_.service == peers::Service::closed || !is_from(now, f->self, routing::signed_register(info->key), f->mac) ||
      !is_address_of(now, f->self, info->route.endpoint.address) || !callers_.allow(now.mono, caller_key(f->self), kIntroductions)) {
    counters_.refused++;
    return;
  }
  const bool was_there = registrations_.find(now.mono, f->self) != nullptr;
  const auto cookie = registrations_.on_register(now.mono, f->self, session, info->route.endpoint, socket, f->cookie, s_.rng);
  if (!cookie) {
    counters_.refused++;
    return;
  }
  registrations_.note_guess(f->self, f->guess);
  if (sweep_at_ == kNever) sweep_at_ = now.mono + kSweepRegistrations;
  if (ask != asks_.end() && !was_there && registrations_.find(now.mono, f->self) != nullptr) {
    counters_.met++;
    const auto guess = guessed_.find(f->self);
    counters_.guessed += guess != guessed_.end() && guess->second >= ask->second.at;
    counters_.last_meeting = now.mono - ask->second.at;
  }
  s_.egress.frame(session, routing::write_registered({*cookie, info->route.endpoint}));
}

void IntroductionSide::on_connect(Now now, PeerRef session, Bytes body) {
  const auto f = routing::read_connect(body);
  const auto info = s_.tunnels.info(session);
  if (!f || !info || info->route.kind != Route::Kind::udp) return;
  const Registration* guest = registrations_.find(now.mono, f->wanted);
  if (!s_.config.relay->introducer || guest == nullptr || f->self == f->wanted ||
      !is_from(now, f->self, routing::signed_connect(info->key, f->wanted, f->nonce), f->mac) ||
      !is_address_of(now, f->self, info->route.endpoint.address) || !callers_.allow(now.mono, caller_key(f->self), kIntroductions)) {
    counters_.refused++;
    return;
  }
  counters_.introduced++;
  s_.egress.frame(guest->session, routing::write_introduce({f->self, f->nonce, info->route.endpoint, f->guess}));
  s_.egress.frame(session, routing::write_introduce({f->wanted, f->nonce, guest->at, guest->guess}));
}

// ---- time

Mono IntroductionSide::next_deadline() const {
  Mono d = sweep_at_;
  for (const Home& h : homes_) d = std::min({d, h.again_at, h.until});
  for (const auto& [id, w] : ways_) d = std::min(d, w.used + kWayLife);
  for (const auto& [id, a] : asks_) d = std::min(d, a.at + kAskAgain);
  for (const auto& [nonce, a] : punches_) d = std::min(d, a.guess ? a.guess->next_deadline() : a.punch.next_deadline());
  return std::min(d, sockets_.next_deadline());
}

void IntroductionSide::on_deadline(Now now) {
  if (now.mono >= sweep_at_) {
    registrations_.expire(now.mono);
    sweep_at_ = registrations_.size() == 0 ? kNever : now.mono + kSweepRegistrations;
  }
  std::erase_if(asks_, [&](const auto& a) { return now.mono >= a.second.at + kAskAgain; });
  for (auto it = ways_.begin(); it != ways_.end();) {
    if (now.mono < it->second.used + kWayLife) {
      ++it;
      continue;
    }
    lost_.push_back(it->second.link);
    links_.close(it->second.link);
    it = ways_.erase(it);
  }
  std::erase_if(homes_, [&](const Home& h) {
    const bool over = now.mono >= h.until;
    if (over && h.link.value != 0) links_.close(h.link);
    return over;
  });
  for (Home& h : homes_) {
    if (now.mono < h.again_at) continue;
    if (h.link.value == 0) {
      call_home(now, h);
    } else {
      say_register(now, h);
    }
  }
  for (auto it = punches_.begin(); it != punches_.end();) {
    advance(now, it->first, it->second);
    if (!it->second.over(now.mono)) {
      ++it;
      continue;
    }
    it = punches_.erase(it);
  }
  std::erase_if(guessed_, [&](const auto& g) { return now.mono >= g.second + kGuessAgain; });
  sockets_.on_deadline(now.mono);
}

void IntroductionSide::check_invariants() const {
  registrations_.check_invariants();
  MV_ASSERT(ways_.size() <= kMaxWays && asks_.size() <= kMaxAsks && punches_.size() <= kMaxPunches);
  MV_ASSERT(homes_.size() <= kMaxIntroducers + kMaxDirect && guessed_.size() <= kMaxGuessedPairs);
  MV_ASSERT(std::count_if(punches_.begin(), punches_.end(), [](const auto& p) { return p.second.guess.has_value(); }) <= 1);
  sockets_.check_invariants();
}

}  // namespace macrovpn::node
