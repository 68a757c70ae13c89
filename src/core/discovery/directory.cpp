#include "core/discovery/directory.h"

#include <algorithm>

namespace macrovpn::discovery {

void Directory::List::count(const RelayInfo& relay) {
  for (const Endpoint& e : relay.endpoints) endpoints[e]++;
}

void Directory::List::uncount(const RelayInfo& relay) {
  for (const Endpoint& e : relay.endpoints) {
    const auto it = endpoints.find(e);
    MV_ASSERT(it != endpoints.end());
    if (--it->second == 0) endpoints.erase(it);
  }
}

Directory::List& Directory::own() {
  if (list_.use_count() > 1) list_ = std::make_shared<List>(*list_);
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

const RelayInfo* Directory::find(const PeerId& id, Wall now) const {
  const auto it = list_->relays.find(id);
  return it == list_->relays.end() || it->second->expiry <= now ? nullptr : it->second.get();
}

bool Directory::is_relay_endpoint(const Endpoint& e) const {
  return list_->endpoints.contains(e);
}

void Directory::expire(Wall now) {
  const auto is_over = [now](const auto& entry) { return entry.second->expiry <= now; };
  if (std::none_of(list_->relays.begin(), list_->relays.end(), is_over)) return;
  List& list = own();
  for (auto it = list.relays.begin(); it != list.relays.end();) {
    if (!is_over(*it)) {
      ++it;
      continue;
    }
    list.uncount(*it->second);
    it = list.relays.erase(it);
  }
}

void Directory::check_invariants() const {
  MV_ASSERT(list_->relays.size() <= kMaxRelays);
  List counted;
  for (const auto& [id, relay] : list_->relays) {
    MV_ASSERT(relay && id == relay->id);
    counted.count(*relay);
  }
  MV_ASSERT(counted.endpoints == list_->endpoints);
}

}  // namespace macrovpn::discovery
