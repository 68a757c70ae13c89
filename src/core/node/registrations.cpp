#include "core/node/registrations.h"

#include <algorithm>

namespace macrovpn::node {

std::optional<uint64_t> Registrations::on_register(Mono now, const PeerId& who, PeerRef session, const Endpoint& from, SocketId socket,
                                                   uint64_t cookie, Rng& rng) {
  auto it = of_.find(who);
  const bool same = it != of_.end() && it->second.session == session && it->second.at == from && it->second.socket == socket;
  if (!same) {
    // One session speaks for one relay, and a relay is at one place: what it said before goes.
    if (const auto other = by_session_.find(session); other != by_session_.end()) erase(of_.find(other->second));
    if (it = of_.find(who); it != of_.end()) erase(it);
    const CallerKey source = caller_key(from.address);
    if (!shares_.try_add(source, kMaxRegistrationsPerSource)) return std::nullopt;
    uint64_t fresh = 0;
    while (fresh == 0) fresh = rng.u64();
    it = of_.emplace(who, Registration{session, from, socket, fresh, false, source, now + kRegistrationLife}).first;
    by_session_[session] = who;
  }
  Registration& r = it->second;
  r.proved |= cookie == r.cookie;
  if (r.proved) r.expires = now + kRegistrationLife;
  return r.cookie;
}

void Registrations::note_guess(const PeerId& who, GuessSide side) {
  if (const auto it = of_.find(who); it != of_.end()) it->second.guess = side;
}

const Registration* Registrations::find(Mono now, const PeerId& who) const {
  const auto it = of_.find(who);
  return it != of_.end() && it->second.proved && now < it->second.expires ? &it->second : nullptr;
}

Registrations::Of::iterator Registrations::erase(Of::iterator it) {
  shares_.remove(it->second.source);
  by_session_.erase(it->second.session);
  return of_.erase(it);
}

void Registrations::session_gone(PeerRef session) {
  if (const auto it = by_session_.find(session); it != by_session_.end()) erase(of_.find(it->second));
}

Mono Registrations::next_deadline() const {
  Mono d = kNever;
  for (const auto& [who, r] : of_) d = std::min(d, r.expires);
  return d;
}

void Registrations::expire(Mono now) {
  for (auto it = of_.begin(); it != of_.end();) it = it->second.expires <= now ? erase(it) : std::next(it);
}

void Registrations::check_invariants() const {
  MV_ASSERT(of_.size() == by_session_.size() && of_.size() == shares_.all() && of_.size() <= kMaxRegistrations);
  for (const auto& [session, who] : by_session_) MV_ASSERT(of_.at(who).session == session);
}

}  // namespace macrovpn::node
