// What size of packets a circuit carries: what PathMtu asks for is sent, and what it finds is told to the exit, to
// programs and to the user.
#include <algorithm>

#include "core/node/client_side.h"

namespace macrovpn::node {

// Small links are mostly the user's own, and every circuit begins there: the next one starts with what the last one
// found, and asks for more at once.
uint16_t ClientSide::known_mtu(const PeerId& guard, uint16_t most) const {
  const auto link = links_.find(guard);
  return link == links_.end() ? most : std::min(most, link->second.mtu);
}

Mono ClientSide::lease_retry(const Circuit& c) const {
  return c.asked_lease == kNever ? kNever : c.asked_lease + std::max<Duration>(kLeaseRetry, c.ready_after * 2);
}

// Of who has it, a plain request: the exit repeats what the session holds, and takes its size.  Before that the whole one, since the
// exit may have got no other: a plain one would get another lease.
void ClientSide::ask_lease_again(Now now, Circuit& c) {
  c.asked_lease = now.mono;
  if (const auto info = s_.tunnels.info(c.exit().peer); info && c.resumes && !c.granted)
    return s_.egress.frame(c.exit().peer, lease_frame(c, info->h1));
  routing::LeaseFrame f;
  f.mtu = c.mtu();
  s_.egress.frame(c.exit().peer, routing::write_lease(f));
}

void ClientSide::tell_mtu(Now now, Circuit& c) {
  if (!c.granted || c.mtu_told >= kMtuTellings) return;
  c.mtu_told++;
  ask_lease_again(now, c);
}

void ClientSide::check_mtu(Now now, Circuit& c, Effects& fx, std::vector<CircuitId>& failed) {
  using Verdict = routing::PathMtu::Verdict;
  const size_t exit = c.hops.size() - 1;
  for (int i = 0; i < 2; i++) {  // the end of one search may begin another
    std::vector<uint16_t> sizes;
    switch (c.path_mtu.check(now.mono, s_.rng, sizes)) {
      case Verdict::nothing:
        return;
      case Verdict::probe:
        // Small ones before and behind: where a queue is full, one of two comes through.  Without any the round says nothing.
        ping(now, c, exit, 0);
        for (const uint16_t size : sizes) ping(now, c, exit, size);
        ping(now, c, exit, 0);
        return;
      case Verdict::changed:
        remember_mtu(now, c);
        mtu_changed(now, c, fx);
        break;
      case Verdict::broken:
        mtu_changed(now, c, fx);
        if (now.mono < leave_broken_at_) break;
        leave_broken_at_ = now.mono + kBrokenRest;
        trouble_ = "a relay, or a network on the way, loses all but small packets";
        return failed.push_back(c.id);
    }
  }
}

// The narrow link may be the first one, which others use as well: they need not meet the hole themselves.
void ClientSide::remember_mtu(Now now, const Circuit& c) {
  const PeerId& guard = c.hops[0].relay.id;
  const auto link = links_.find(guard);
  if (link == links_.end() || !c.shares_guard) return;
  link->second.mtu = c.path_mtu.is_whole() ? UINT16_MAX : c.mtu();
  for (auto& [id, other] : circuits_) {
    const bool may_be_narrow = other.state == Circuit::State::ready && other.mtu() > c.mtu() && other.hops[0].relay.id == guard;
    if (may_be_narrow) other.path_mtu.suspect(now.mono);
  }
}

void ClientSide::mtu_changed(Now now, Circuit& c, Effects& fx) {
  c.mtu_told = 0;
  tell_mtu(now, c);
  // What is on its way and too large is lost: its senders hear of it now.
  if (const Group* g = find_group(c.group); g != nullptr && g->active == c.id) {
    g->sent.each_larger_than(c.mtu(), [&](Bytes p) { refuse(*g, c, p, SIZE_MAX, fx); });
  }
  fx.events.push_back(MtuChanged{c.id, c.group, c.mtu()});
  if (c.mtu() < kLeastV6Mtu && !warned_v4_only_) {
    fx.events.push_back(
        Warning{"A circuit carries only packets of up to " + std::to_string(c.mtu()) +
                " bytes, and so IPv4 alone. A network on the way, mostly your own, loses larger ones: if it goes on, "
                "look at the MTU of your network."});
  }
  warned_v4_only_ = c.mtu() < kLeastV6Mtu;
}

// Which circuit's, nobody says.  Those that are used ask, and the others when they are.
void ClientSide::refused_as_too_long(Now now) {
  for (auto& [id, c] : circuits_) {
    if (c.state == Circuit::State::ready) c.path_mtu.suspect(now.mono);
  }
}

}  // namespace macrovpn::node
