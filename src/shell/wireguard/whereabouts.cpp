#include "shell/wireguard/whereabouts.h"

#include <algorithm>

#include "core/encryption/messages.h"

namespace macrovpn::shell {

void Whereabouts::set(PeerRef peer, const encryption::Trace& trace) {
  const std::lock_guard guard(mutex_);
  forget_locked(peer);
  traces_[peer] = trace;
  at_.emplace(trace.endpoint, peer);
}

void Whereabouts::forget(PeerRef peer) {
  const std::lock_guard guard(mutex_);
  forget_locked(peer);
}

void Whereabouts::forget_locked(PeerRef peer) {
  const auto known = traces_.find(peer);
  if (known == traces_.end()) return;
  const auto [begin, end] = at_.equal_range(known->second.endpoint);
  at_.erase(std::find_if(begin, end, [&](const auto& e) { return e.second == peer; }));
  traces_.erase(known);
}

PeerRef Whereabouts::sent_to(const Endpoint& to, Bytes m) const {
  if (!encryption::is_message(m) || m[0] != static_cast<uint8_t>(encryption::MessageType::transport)) return {};
  const SessionIndex index = encryption::receiver_index(m);
  if (index == SessionIndex{}) return {};  // stands for none
  const std::lock_guard guard(mutex_);
  const auto [begin, end] = at_.equal_range(to);
  const auto found = std::find_if(begin, end, [&](const auto& e) {
    const auto& indexes = traces_.at(e.second).indexes;
    return std::find(indexes.begin(), indexes.end(), index) != indexes.end();
  });
  return found == end ? PeerRef{} : found->second;
}

std::optional<Endpoint> Whereabouts::endpoint_of(PeerRef peer) const {
  const std::lock_guard guard(mutex_);
  const auto at = traces_.find(peer);
  return at == traces_.end() ? std::nullopt : std::optional(at->second.endpoint);
}

size_t Whereabouts::size() const {
  const std::lock_guard guard(mutex_);
  return traces_.size();
}

}  // namespace macrovpn::shell
