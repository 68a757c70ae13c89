// LruTable: what a NAT or a firewall remembers.  Entries lapse a fixed time after they were last refreshed, and when the table
// is full the one that was refreshed longest ago makes room.  Since all have the same timeout, the order of refreshing is the
// order of lapsing, so one list serves both.
//
// Walked in that order only, so what follows from a walk is the same on every machine.
#pragma once
#include <list>
#include <unordered_map>

#include "base/time.h"

namespace macrovpn::sim {

template <class Key, class Value, class Hash>
class LruTable {
 public:
  struct Entry {
    Key key;
    Value value;
    Mono until;
  };
  LruTable(size_t most, Duration timeout) : most_(most), timeout_(timeout) {}

  // Alive ones only.  Valid until the table is changed.
  Entry* find(Mono now, const Key& key) {
    const auto found = places_.find(key);
    return found == places_.end() || found->second->until <= now ? nullptr : &*found->second;
  }
  void refresh(Mono now, Entry& entry) {
    entry.until = now + timeout_;
    entries_.splice(entries_.begin(), entries_, places_.find(entry.key)->second);
  }
  // The key must not be there, alive or not: see lapsed() and full().
  Entry& add(Mono now, const Key& key, Value value) {
    entries_.push_front({key, std::move(value), now + timeout_});
    places_.emplace(key, entries_.begin());
    return entries_.front();
  }
  void remove(const Key& key) {
    const auto found = places_.find(key);
    if (found == places_.end()) return;
    entries_.erase(found->second);
    places_.erase(found);
  }
  // The entry that goes next: because its time is over, or because the table is full.  Null: none has to.
  const Entry* must_go(Mono now) const {
    if (entries_.empty()) return nullptr;
    const Entry& oldest = entries_.back();
    return oldest.until <= now || entries_.size() >= most_ ? &oldest : nullptr;
  }
  bool is_full() const { return entries_.size() >= most_; }
  const Entry* oldest() const { return entries_.empty() ? nullptr : &entries_.back(); }
  size_t size() const { return entries_.size(); }
  void clear() {
    places_.clear();
    entries_.clear();
  }

 private:
  size_t most_;
  Duration timeout_;
  std::list<Entry> entries_;  // the last refreshed in front
  std::unordered_map<Key, typename std::list<Entry>::iterator, Hash> places_;
};

}  // namespace macrovpn::sim
