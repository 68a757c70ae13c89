#include "core/node/way_sockets.h"

#include <algorithm>

#include "base/assert.h"

namespace macrovpn::node {

size_t WaySockets::room() const {
  constexpr size_t kForGuesses = kMaxWaySockets - kKeptForWinners;
  // What is there already are winners of earlier guesses.
  const size_t left = kMaxWaySockets - sockets_.size();
  return sockets_.size() >= kKeptForWinners ? 0 : std::min(left, kForGuesses);
}

std::vector<SocketId> WaySockets::open(Mono now, const PeerId& relay, const Endpoint& its, size_t most) {
  std::vector<SocketId> out;
  for (size_t left = std::min(most, room()); left > 0; next_ = next_ == kLastWaySocket ? kFirstWaySocket : static_cast<uint8_t>(next_ + 1)) {
    if (!sockets_.try_emplace(SocketId{next_}, One{relay, its, now}).second) continue;
    changes_.push_back({SocketChange::Kind::open, {next_}});
    out.push_back({next_});
    left--;
  }
  return out;
}

void WaySockets::close(SocketId s) {
  if (sockets_.erase(s) != 0) changes_.push_back({SocketChange::Kind::close, s});
}

bool WaySockets::lets_in(Mono now, SocketId s, const Endpoint& from) {
  const auto it = sockets_.find(s);
  if (it == sockets_.end() || it->second.its != from) return false;
  it->second.heard = now;
  return true;
}

bool WaySockets::is_of(SocketId s, const PeerId& relay) const {
  const auto it = sockets_.find(s);
  return it != sockets_.end() && it->second.relay == relay;
}

Mono WaySockets::next_deadline() const {
  Mono d = kNever;
  for (const auto& [id, s] : sockets_) d = std::min(d, s.heard + kWaySocketLife);
  return d;
}

void WaySockets::on_deadline(Mono now) {
  for (auto it = sockets_.begin(); it != sockets_.end();) {
    const auto at = it++;
    if (now >= at->second.heard + kWaySocketLife) close(at->first);
  }
}

void WaySockets::check_invariants() const {
  MV_ASSERT(sockets_.size() <= kMaxWaySockets);
  for (const auto& [id, s] : sockets_) MV_ASSERT(is_way_socket(id));
}

}  // namespace macrovpn::node
