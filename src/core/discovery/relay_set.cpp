#include "core/discovery/relay_set.h"

#include <algorithm>

namespace macrovpn::discovery {
namespace {

constexpr uint64_t kEverywhere = 0;  // no prefix has this name

bool ranks_before(const RelayEntry& a, const RelayEntry& b) {
  return a.rank != b.rank ? a.rank < b.rank : a.id < b.id;
}

bool is_in(const RelayEntry& e, uint64_t scope) {
  const Homes h = homes_of(e.home);
  return scope == kEverywhere || h.inner == scope || h.outer == scope;
}

}  // namespace

RelaySet::Place RelaySet::place_of(ShortId id) {
  return std::lower_bound(entries_.begin(), entries_.end(), id, [](const EntryPtr& e, ShortId i) { return e->short_id < i; });
}

EntryPtr RelaySet::find(ShortId id) const {
  const auto found = between(id, id);
  return found.empty() ? nullptr : found.front();
}

std::span<const EntryPtr> RelaySet::between(ShortId low, ShortId high) const {
  const auto before = [](const EntryPtr& e, ShortId i) { return e->short_id < i; };
  const auto after = [](ShortId i, const EntryPtr& e) { return i < e->short_id; };
  const auto first = std::lower_bound(entries_.begin(), entries_.end(), low, before);
  const auto end = std::upper_bound(first, entries_.end(), high, after);
  return {first, end};
}

// What a newcomer is beside the entry with its short id: convicted and replaced are still to be done.
Inserted RelaySet::against(const RelayEntry& known, const EntryPtr& e) const {
  if (known.id != e->id) {
    if (!ranks_before(*e, known)) return Inserted::crowded_out;
    return e->convicted() ? Inserted::convicted : Inserted::replaced;
  }
  if (known.convicted()) return e->convicted() ? Inserted::older : Inserted::banned;
  if (!e->convicted() && contradict(known.descriptor, e->descriptor)) return Inserted::convicted;
  if (e->seq <= known.seq) return Inserted::older;
  return e->convicted() ? Inserted::convicted : Inserted::replaced;
}

bool RelaySet::has_room(const IpAddress& home, const RelayEntry* replaces, uint64_t& scope) const {
  const Homes h = homes_of(home);
  const Homes leaves = replaces != nullptr && !replaces->convicted() ? homes_of(replaces->home) : Homes{};
  const HomeCaps caps = caps_of(home, network_);
  const auto used = [&](uint64_t prefix) { return counts_.of(prefix) - (leaves.inner == prefix || leaves.outer == prefix); };
  if (used(h.inner) >= caps.inner) return scope = h.inner, false;
  if (used(h.outer) >= caps.outer) return scope = h.outer, false;
  scope = kEverywhere;
  return entries_.size() - convictions_ - (replaces != nullptr) < kMaxRelays;
}

EntryPtr RelaySet::in_its_way(const EntryPtr& e, const RelayEntry* replaces) const {
  uint64_t scope = kEverywhere;
  if (has_room(e->home, replaces, scope)) return nullptr;
  EntryPtr worst = e;
  for (const EntryPtr& other : entries_) {
    if (other.get() == replaces || other->convicted() || !ranks_before(*worst, *other) || !is_in(*other, scope)) continue;
    worst = other;
  }
  return worst;
}

bool RelaySet::would_displace(const EntryPtr& e) const {
  if (e->convicted()) return false;
  const EntryPtr known = find(e->short_id);
  if (known && known->id != e->id) return ranks_before(*e, *known);
  if (known && !is_news(against(*known, e))) return false;
  const EntryPtr loser = in_its_way(e, known.get());
  return loser && loser != e;
}

Inserted RelaySet::insert(EntryPtr e, SetChanges& changes) {
  MV_ASSERT(e);
  Place place = place_of(e->short_id);
  const bool taken = place != entries_.end() && (*place)->short_id == e->short_id;
  const Inserted kind = taken ? against(**place, e) : e->convicted() ? Inserted::convicted : Inserted::added;
  if (!is_news(kind)) return kind;
  if (kind == Inserted::convicted) {
    if (!taken || e->convicted()) return convict(place, std::move(e), changes);
    return convict(place, make_conviction(**place, *e), changes);
  }
  if (const EntryPtr loser = in_its_way(e, taken ? place->get() : nullptr)) {
    if (loser == e) return Inserted::crowded_out;
    erase(place_of(loser->short_id), changes);
    place = place_of(e->short_id);
  }
  if (taken) {
    changes.gone.push_back(*place);
    if (!(*place)->convicted()) counts_.take(homes_of((*place)->home));
    convictions_ -= (*place)->convicted();
    *place = e;
  } else {
    entries_.insert(place, e);
  }
  counts_.add(homes_of(e->home));
  first_expiry_ = std::min(first_expiry_, e->expiry);
  changes.come.push_back(std::move(e));
  return kind;
}

Inserted RelaySet::convict(Place place, EntryPtr proof, SetChanges& changes) {
  if (convictions_ >= kMaxConvictions) {
    const RelayEntry* worst = proof.get();
    for (const EntryPtr& other : entries_) {
      if (other->convicted() && ranks_before(*worst, *other)) worst = other.get();
    }
    if (worst == proof.get()) return Inserted::crowded_out;
    erase(place_of(worst->short_id), changes);
    place = place_of(proof->short_id);
  }
  if (place != entries_.end() && (*place)->short_id == proof->short_id) {
    erase(place, changes);
    place = place_of(proof->short_id);
  }
  convictions_++;
  first_expiry_ = std::min(first_expiry_, proof->expiry);
  entries_.insert(place, proof);
  changes.come.push_back(std::move(proof));
  return Inserted::convicted;
}

void RelaySet::erase(Place place, SetChanges& changes) {
  if ((*place)->convicted()) {
    convictions_--;
  } else {
    counts_.take(homes_of((*place)->home));
  }
  changes.gone.push_back(std::move(*place));
  entries_.erase(place);
}

void RelaySet::drop(ShortId id, SetChanges& changes) {
  const Place place = place_of(id);
  if (place != entries_.end() && (*place)->short_id == id && !(*place)->convicted()) erase(place, changes);
}

std::vector<EntryPtr> RelaySet::rivals_of(const EntryPtr& e) const {
  const EntryPtr old = find(e->short_id);
  uint64_t scope = kEverywhere;
  std::vector<EntryPtr> out;
  if (has_room(e->home, old.get(), scope) || scope == kEverywhere) return out;
  for (const EntryPtr& other : entries_) {
    if (other != old && !other->convicted() && is_in(*other, scope)) out.push_back(other);
  }
  return out;
}

void RelaySet::expire(Wall now, SetChanges& changes) {
  if (now < first_expiry_) return;
  first_expiry_ = Wall::max();
  std::erase_if(entries_, [&](EntryPtr& e) {
    if (e->expiry > now) {
      first_expiry_ = std::min(first_expiry_, e->expiry);
      return false;
    }
    if (e->convicted()) {
      convictions_--;
    } else {
      counts_.take(homes_of(e->home));
    }
    changes.gone.push_back(std::move(e));
    return true;
  });
}

void RelaySet::check_invariants() const {
  PrefixCounts counted;
  size_t convictions = 0;
  for (size_t i = 0; i < entries_.size(); i++) {
    const RelayEntry& e = *entries_[i];
    MV_ASSERT(i == 0 || entries_[i - 1]->short_id < e.short_id);
    MV_ASSERT(e.expiry >= first_expiry_);
    convictions += e.convicted();
    if (!e.convicted()) counted.add(homes_of(e.home));
  }
  MV_ASSERT(counted == counts_ && convictions == convictions_);
  MV_ASSERT(convictions_ <= kMaxConvictions && entries_.size() - convictions_ <= kMaxRelays);
  for (const EntryPtr& e : entries_) {
    const HomeCaps caps = caps_of(e->home, network_);
    const Homes h = homes_of(e->home);
    MV_ASSERT(e->convicted() || (counts_.of(h.inner) <= caps.inner && counts_.of(h.outer) <= caps.outer));
  }
}

}  // namespace macrovpn::discovery
