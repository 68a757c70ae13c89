// Descriptors.  Each is signed by its relay, verified once, and then shared by all nodes: what every one of them would have
// verified to the same.
#include "sim/world/world.h"

namespace macrovpn::sim {

void World::publish(Host& h) {
  RelayInfo info = h.info;
  info.wireguard = h.disk.wireguard.pub;
  info.endpoints = {{h.address, kListenPort}};
  info.region = region_of(h.place);
  info.created = now_.wall - std::chrono::hours(24 * 30);
  const Wall signed_at = std::max(now_.wall, h.info.signed_at + 1s);  // not twice in one second
  const auto bytes = discovery::sign_descriptor(info, config_.network.id, *h.disk.identity, signed_at);
  auto verified = discovery::verify_descriptor(bytes, config_.network.id, now_.wall);
  MV_ASSERT(verified.ok());
  h.info = *verified;
  relays_[h.info.id] = h.id;
  static_cast<void>(catalogue_.insert(h.info));
  relay_endpoints_.insert(h.info.endpoints.begin(), h.info.endpoints.end());
  news_waits_ = true;
}

void World::spread_news() {
  if (!std::exchange(news_waits_, false)) return;
  for (auto& h : hosts_) {
    if (!h->runs()) continue;  // who sleeps reads it when awake
    call(*h, [&](node::Node& n, node::Effects& fx) {
      n.directory() = catalogue_;
      n.directory_changed(now_of(*h), fx);
    });
  }
}

const Host* World::relay_of(const PeerId& id) const {
  const auto at = relays_.find(id);
  return at == relays_.end() ? nullptr : hosts_[at->second.value].get();
}

}  // namespace macrovpn::sim
