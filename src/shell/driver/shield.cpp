#include "shell/driver/shield.h"

#include <algorithm>

namespace macrovpn::shell {

Shield::~Shield() {
  for (auto& [caller, s] : sockets_) reactor_.remove(s.fd());
}

void Shield::protect(const UdpSocket& listening, std::span<const Endpoint> callers) {
  for (auto i = sockets_.begin(); i != sockets_.end();) {
    if (std::find(callers.begin(), callers.end(), i->first) != callers.end()) {
      ++i;
      continue;
    }
    on_readable_(i->second);  // what waits in it would be lost
    reactor_.remove(i->second.fd());
    i = sockets_.erase(i);
  }
  for (const Endpoint& caller : callers) {
    if (sockets_.size() >= kMost || sockets_.contains(caller)) continue;
    auto twin = listening.connected_twin(caller);
    if (!twin) continue;  // that caller stays with the listening socket
    UdpSocket& s = sockets_.emplace(caller, std::move(twin).value()).first->second;
    reactor_.add(s.fd(), EPOLLIN, [this, &s](uint32_t) { on_readable_(s); });
  }
}

}  // namespace macrovpn::shell
