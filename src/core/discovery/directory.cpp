#include "core/discovery/directory.h"

namespace macrovpn::discovery {
namespace {

void count(std::map<Endpoint, unsigned>& endpoints, const RelayInfo& relay) {
  for (const Endpoint& e : relay.endpoints) endpoints[e]++;
}

void uncount(std::map<Endpoint, unsigned>& endpoints, const RelayInfo& relay) {
  for (const Endpoint& e : relay.endpoints) {
    const auto it = endpoints.find(e);
    MV_ASSERT(it != endpoints.end());
    if (--it->second == 0) endpoints.erase(it);
  }
}

}  // namespace

Insert Directory::insert(const RelayInfo& relay) {
  const auto it = relays_.find(relay.id);
  if (it == relays_.end()) {
    if (relays_.size() >= kMaxRelays) return Insert::full;
    relays_.emplace(relay.id, relay);
    count(endpoints_, relay);
    return Insert::added;
  }
  // The same second with other contents is equivocation: whichever came first stays, so that a relay cannot
  // flip its entry back and forth.
  if (relay.signed_at <= it->second.signed_at) return Insert::older;
  uncount(endpoints_, it->second);
  it->second = relay;
  count(endpoints_, relay);
  return Insert::updated;
}

void Directory::remove(const PeerId& id) {
  const auto it = relays_.find(id);
  if (it == relays_.end()) return;
  uncount(endpoints_, it->second);
  relays_.erase(it);
}

const RelayInfo* Directory::find(const PeerId& id, Wall now) const {
  const auto it = relays_.find(id);
  return it == relays_.end() || it->second.expiry <= now ? nullptr : &it->second;
}

bool Directory::is_relay_endpoint(const Endpoint& e) const {
  return endpoints_.contains(e);
}

void Directory::expire(Wall now) {
  for (auto it = relays_.begin(); it != relays_.end();) {
    if (it->second.expiry > now) {
      ++it;
      continue;
    }
    uncount(endpoints_, it->second);
    it = relays_.erase(it);
  }
}

void Directory::check_invariants() const {
  MV_ASSERT(relays_.size() <= kMaxRelays);
  std::map<Endpoint, unsigned> counted;
  for (const auto& [id, relay] : relays_) {
    MV_ASSERT(id == relay.id);
    count(counted, relay);
  }
  MV_ASSERT(counted == endpoints_);
}

}  // namespace macrovpn::discovery
