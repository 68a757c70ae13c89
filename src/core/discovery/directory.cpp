#include "core/discovery/directory.h"

#include <algorithm>
#include <utility>

namespace macrovpn::discovery {

void Directory::List::count(const RelayInfo& relay) {
  for (const Endpoint& e : relay.endpoints) endpoints[e]++;
  keys[relay.wireguard]++;
  first_expiry = std::min(first_expiry, relay.expiry);
}

void Directory::List::uncount(const RelayInfo& relay) {
  for (const Endpoint& e : relay.endpoints) {
    const auto it = endpoints.find(e);
    MV_ASSERT(it != endpoints.end());
    if (--it->second == 0) endpoints.erase(it);
  }
  const auto key = keys.find(relay.wireguard);
  MV_ASSERT(key != keys.end());
  if (--key->second == 0) keys.erase(key);
}

Directory::List& Directory::own() {
  if (list_.use_count() > 1) list_ = std::make_shared<List>(*list_);
  list_->checked = false;
  return *list_;
}

Insert Directory::insert(const RelayInfo& relay) {
  const auto known = list_->relays.find(relay.id);
  const bool is_new = known == list_->relays.end();
  if (is_new && list_->relays.size() >= kMaxRelays) return Insert::full;
  // The same second with other contents is equivocation: whichever came first stays, so that a relay cannot
  // flip its entry back and forth.
  if (!is_new && relay.signed_at <= known->second->signed_at) return Insert::older;
  List& list = own();
  std::shared_ptr<const RelayInfo>& entry = list.relays[relay.id];
  if (entry) list.uncount(*entry);
  entry = std::make_shared<const RelayInfo>(relay);
  list.count(relay);
  return is_new ? Insert::added : Insert::updated;
}

void Directory::remove(const PeerId& id) {
  if (!list_->relays.contains(id)) return;
  List& list = own();
  const auto it = list.relays.find(id);
  list.uncount(*it->second);
  list.relays.erase(it);
}

void Directory::set_bandwidth(const PeerId& id, Bandwidth b) {
  const auto known = list_->relays.find(id);
  if (known == list_->relays.end() || known->second->bandwidth == b) return;
  RelayInfo relay = *known->second;
  relay.bandwidth = b;
  own().relays[id] = std::make_shared<const RelayInfo>(std::move(relay));
}

const RelayInfo* Directory::find(const PeerId& id, Wall now) const {
  const auto it = list_->relays.find(id);
  return it == list_->relays.end() || it->second->expiry <= now ? nullptr : it->second.get();
}

bool Directory::is_relay_endpoint(const Endpoint& e) const {
  return list_->endpoints.contains(e);
}

bool Directory::is_relay_key(const PublicKey& wireguard) const {
  return list_->keys.contains(wireguard);
}

void Directory::expire(Wall now) {
  if (now < list_->first_expiry) return;
  const auto has_expired = [&](const auto& entry) { return entry.second->expiry <= now; };
  if (std::any_of(list_->relays.begin(), list_->relays.end(), has_expired)) {
    List& list = own();
    for (auto it = list.relays.begin(); it != list.relays.end();) {
      if (!has_expired(*it)) {
        ++it;
        continue;
      }
      list.uncount(*it->second);
      it = list.relays.erase(it);
    }
  }
  // What was the first may have been renewed since: a later one then, and nothing else has changed.
  list_->first_expiry = Wall::max();
  for (const auto& [id, relay] : list_->relays) list_->first_expiry = std::min(list_->first_expiry, relay->expiry);
}

void Directory::check_invariants() const {
  if (std::exchange(list_->checked, true)) return;
  MV_ASSERT(list_->relays.size() <= kMaxRelays);
  List counted;
  for (const auto& [id, relay] : list_->relays) {
    MV_ASSERT(relay && id == relay->id);
    counted.count(*relay);
  }
  MV_ASSERT(counted.endpoints == list_->endpoints && counted.keys == list_->keys);
  MV_ASSERT(list_->first_expiry <= counted.first_expiry);
}

}  // namespace macrovpn::discovery
