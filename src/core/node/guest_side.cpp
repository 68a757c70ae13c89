// IntroductionSide as a guest, a relay behind a NAT; and punching, which both sides do.
#include <algorithm>

#include "core/node/introduction_side.h"
#include "core/node/relay_side.h"

namespace macrovpn::node {

using discovery::Punch;
using discovery::PunchMessage;
using routing::FrameType;

void IntroductionSide::set_introducers(Now now, const std::vector<PeerId>& introducers, const GuessPart& part) {
  part_ = introducers.empty() ? GuessPart{} : part;
  const auto wanted = [&](const PeerId& id) { return std::find(introducers.begin(), introducers.end(), id) != introducers.end(); };
  std::erase_if(homes_, [&](const Home& h) {
    const bool goes = h.until == kNever && !wanted(h.relay);
    if (goes && h.link.value != 0) links_.close(h.link);
    return goes;
  });
  for (size_t i = 0; i < std::min(introducers.size(), kMaxIntroducers); i++) {
    const bool is_there = std::any_of(homes_.begin(), homes_.end(), [&](const Home& h) { return h.until == kNever && h.relay == introducers[i]; });
    if (is_there || introducers[i] == s_.self) continue;
    Home home;
    home.relay = introducers[i];
    home.again_at = now.mono;
    homes_.push_back(home);
    call_home(now, homes_.back());
  }
}

size_t IntroductionSide::registered_at() const {
  return static_cast<size_t>(std::count_if(homes_.begin(), homes_.end(), [](const Home& h) { return h.until == kNever && h.registered; }));
}

std::optional<Endpoint> IntroductionSide::seen_at() const {
  const auto it = std::find_if(homes_.begin(), homes_.end(), [](const Home& h) { return h.registered; });
  return it == homes_.end() ? std::nullopt : std::optional(it->seen);
}

IntroductionSide::Home* IntroductionSide::home_of(PeerRef link) {
  const auto it = std::find_if(homes_.begin(), homes_.end(), [&](const Home& h) { return h.link == link; });
  return link.value == 0 || it == homes_.end() ? nullptr : &*it;
}

void IntroductionSide::call_home(Now now, Home& home) {
  home.again_at = now.mono + kIntroducerAgain;
  const RelayInfo* info = s_.directory.find(home.relay, now.wall);
  if (info == nullptr) return;
  Contact to = contact_of(*info);
  if (home.at) to.endpoints = {*home.at};
  if (!may_send_to(s_.config, to.endpoints[0].address)) return;
  if (const auto link = links_.open(now, to, LinkUse::introduction, 0, home.socket)) {
    home.link = *link;
    home.cookie = 0;
    home.again_at = kNever;  // the link says what becomes of it
  }
}

void IntroductionSide::say_register(Now now, Home& home) {
  // Not known there yet: the introducer may have to hear of our descriptor first.
  home.again_at = now.mono + (home.registered ? kRegisterLeast + std::chrono::milliseconds(s_.rng.below(kRegisterSpread / 1ms)) : kRegisterAgain);
  const auto info = s_.tunnels.info(home.link);
  if (!info) return;
  const auto mac = mac_for(now, home.relay, routing::signed_register(info->our_key));
  if (mac) links_.send(now, home.link, routing::write_register({s_.self, home.cookie, *mac, free_part(now)}));
}

void IntroductionSide::on_link_frame(Now now, PeerRef link, const routing::Frame& f) {
  if (f.type == FrameType::introduce) return on_introduce(now, link, f.body);
  Home* home = home_of(link);
  if (home != nullptr && f.type == FrameType::registered) on_registered(now, *home, f.body);
}

void IntroductionSide::on_registered(Now now, Home& home, Bytes body) {
  const auto f = routing::read_registered(body);
  if (!f || f->cookie == 0) return;
  home.seen = f->seen;
  home.registered = home.cookie == f->cookie;
  if (home.registered) return;
  home.cookie = f->cookie;
  say_register(now, home);
}

// Believed of an introducer of ours, and of one whom we asked, about whom we asked.
void IntroductionSide::on_introduce(Now now, PeerRef link, Bytes body) {
  const auto f = routing::read_introduce(body);
  if (!f || f->other == s_.self) return;
  const auto ask = asks_.find(f->other);
  const bool asked = ask != asks_.end() && ask->second.link == link && ask->second.nonce == f->nonce;
  const Home* home = home_of(link);
  const bool wanted = home != nullptr && home->registered && home->until == kNever;
  const auto introducer = links_.relay_of(link);
  if ((!asked && !wanted) || !introducer || !is_address_of(now, f->other, f->at.address) ||
      !callers_.allow(now.mono, caller_key(*introducer), kIntroductions)) {
    counters_.refused++;
    return;
  }
  start_punch(now, *f, asked ? Active::Then::nothing : Active::Then::call);
}

void IntroductionSide::start_punch(Now now, const routing::IntroduceFrame& f, Active::Then then) {
  if (punches_.size() >= kMaxPunches || punches_.contains(f.nonce)) return;
  const GuessSide ours = part_with(now, f.other);
  const GuessSide plan = can_guess(ours, f.guess) ? ours : GuessSide::none;
  const Punch punch(now.mono, f.at, plan == GuessSide::none ? discovery::kPunchTime : discovery::kPunchBeforeGuess);
  Active& a = punches_.emplace(f.nonce, Active{punch, f.other, then, f.at, plan}).first->second;
  if (plan != GuessSide::none) say_part_anew(now);
  advance(now, f.nonce, a);
}

void IntroductionSide::advance(Now now, const discovery::PunchNonce& nonce, Active& a) {
  if (a.guess) return advance_guess(now, nonce, a);
  for (const Endpoint& to : a.punch.on_deadline(now.mono)) {
    send_punch(now, a, nonce, {kListenSocket, to, PunchMessage::Kind::probe, discovery::kLargestPunch});
  }
  if (a.punch.state() != Punch::State::failed) return;
  counters_.punch_failed++;
  if (a.plan != GuessSide::none) start_guess(now, nonce, a);
}

void IntroductionSide::send_punch(Now now, const Active& a, const discovery::PunchNonce& nonce, const Shot& shot) {
  const RelayInfo* other = s_.directory.find(a.other, now.wall);
  const auto pair = other != nullptr ? s_.masks.pair(other->wireguard) : std::nullopt;
  const auto called = other != nullptr ? s_.masks.called(other->wireguard) : std::nullopt;
  if (!pair || !called) return;
  auto message = discovery::write_punch({shot.kind, nonce, s_.self, {}});
  const auto mac = s_.masks.pair_keys(*pair).trailer_mac(discovery::signed_punch(message));
  std::copy(mac.begin(), mac.end(), message.begin() + discovery::kPunchSigned);
  Packet p = s_.pool.copy_of(message);
  const size_t padding = s_.rng.below(shot.most - p.size() + 1);
  s_.rng.fill({p.push_back(padding), padding});
  s_.resources.carry_always(p.size() + kCarriedHeaders);
  s_.egress.datagram(shot.by, shot.to, *called, std::move(p));
}

bool IntroductionSide::on_datagram(Now now, const Datagram& d) {
  const bool ours = d.socket == kListenSocket || is_way_socket(d.socket);
  if (punches_.empty() || !ours || d.packet.size() < discovery::kPunchSize || d.packet.size() > discovery::kLargestPunch) return false;
  std::vector<uint8_t> copy(d.packet.bytes().begin(), d.packet.bytes().end());
  if (!s_.masks.unmask_stun(copy)) return false;
  const auto m = discovery::read_punch(copy);
  if (!m) return false;
  const auto it = punches_.find(m->nonce);
  if (it == punches_.end() || it->second.other != m->from || !is_from(now, m->from, discovery::signed_punch(copy), m->mac) ||
      !is_address_of(now, m->from, d.remote.address)) {
    counters_.refused++;
    return true;
  }
  Active& a = it->second;
  a.guess ? on_guess(now, it->first, a, d, m->kind) : on_punch(now, it->first, a, d, m->kind);
  return true;
}

void IntroductionSide::on_punch(Now now, const discovery::PunchNonce& nonce, Active& a, const Datagram& d, PunchMessage::Kind kind) {
  if (d.socket != kListenSocket) return;
  const auto before = a.punch.state();
  if (a.punch.on_message(now.mono, d.remote, kind)) send_punch(now, a, nonce, {kListenSocket, d.remote, PunchMessage::Kind::answer, d.packet.size()});
  if (before == Punch::State::trying && a.punch.state() == Punch::State::through) opened(now, a, {a.punch.path(), {}, kDirectLife});
}

// The guest calls over the way that is open now, and registers.
void IntroductionSide::opened(Now now, const Active& a, const Opened& way) {
  counters_.punched++;
  if (a.then != Active::Then::call) return;
  const auto same = std::find_if(homes_.begin(), homes_.end(), [&](const Home& h) { return h.relay == a.other; });
  if (same != homes_.end() && same->until == kNever) return;  // an introducer of ours knows already
  if (same != homes_.end()) {
    if (same->link.value != 0) links_.close(same->link);
    homes_.erase(same);
  }
  if (homes_.size() >= kMaxIntroducers + kMaxDirect) return;
  Home home;
  home.relay = a.other;
  home.at = way.at;
  home.socket = way.by;
  home.until = now.mono + way.life;
  homes_.push_back(home);
  call_home(now, homes_.back());
}

}  // namespace macrovpn::node
