// RelaySet: the relays of a network, as all of its relays hold them.
//
// Who belongs to it is a function of the descriptors and the network file alone.  Caps bound the relays of one home prefix (v4 /24
// and /16, v6 /48 and /32) and of all; where more want in, those with the lowest rank stay.  Whichever came first, whatever was
// thought of whom here: the same descriptors give the same set, and a set merged with another gives what all their
// descriptors together would give.  Else two honest relays would differ for ever, and compare for ever.  What this node thinks of a
// relay (slow, not reached, banned by its user) never changes the set.
//
// That holds because each relay counts in one chain of prefixes, one inside the other (Homes): such caps are a laminar matroid, where
// taking the best one by one and forgetting the others loses nothing.  With all addresses of a relay counted, a relay
// forgotten here for a full /24 would have kept others out of its second /24 there.  So the first IPv4 address counts, else the
// first address.
//
// A newer version of a relay replaces the older; if it moved to where there is no room, the old one stays until it expires.  Two
// bodies of one second: the entry becomes a conviction (equivocation.h), which stands outside of the caps; of more than
// kMaxConvictions those with the lowest rank stay.
//
// 16 bytes a relay beside the shared entries, and 8 a prefix.  A new relay costs a move of half of that, a look-up the logarithm.
#pragma once
#include <span>

#include "core/discovery/directory.h"
#include "core/discovery/prefix_counts.h"
#include "core/discovery/relay_entry.h"

namespace macrovpn::discovery {

inline constexpr size_t kMaxConvictions = 1000;

enum class Inserted : uint8_t {
  added,
  replaced,     // by a newer version
  convicted,    // it contradicts what was there: both are in the set now as a conviction
  older,        // or the same
  crowded_out,  // relays of lower rank fill its prefix
  banned,       // its relay is convicted
};
constexpr bool is_news(Inserted i) { return i <= Inserted::convicted; }

// Relays that came and went, for who keeps tables of them.  A replaced one is in `gone` and its successor in `come`.
struct SetChanges {
  std::vector<EntryPtr> come, gone;
};

class RelaySet {
 public:
  explicit RelaySet(const Network& network) : network_(network) {}
  Inserted insert(EntryPtr, SetChanges&);  // not nullptr
  bool would_displace(const EntryPtr&) const;  // somebody else, who then leaves
  void expire(Wall now, SetChanges&);
  // Takes one out whose address turned out not to be its own.
  void drop(ShortId, SetChanges&);
  // Who lives in the prefix that is full for it; none: there is room.
  std::vector<EntryPtr> rivals_of(const EntryPtr&) const;
  EntryPtr find(ShortId) const;  // nullptr: not in it
  std::span<const EntryPtr> all() const { return entries_; }  // by short id
  std::span<const EntryPtr> between(ShortId low, ShortId high) const;  // both belong to it
  size_t size() const { return entries_.size(); }
  const Network& network() const { return network_; }
  void check_invariants() const;

 private:
  using Place = std::vector<EntryPtr>::iterator;
  Place place_of(ShortId);
  Inserted against(const RelayEntry& known, const EntryPtr&) const;
  Inserted convict(Place, EntryPtr, SetChanges&);
  // Whom to drop for it: itself if nobody has a higher rank, nullptr if there is room.
  EntryPtr in_its_way(const EntryPtr&, const RelayEntry* replaces) const;
  bool has_room(const IpAddress& home, const RelayEntry* replaces, uint64_t& scope) const;
  void erase(Place, SetChanges&);

  Network network_;
  std::vector<EntryPtr> entries_;
  PrefixCounts counts_;       // of those that are not convictions
  size_t convictions_ = 0;
  Wall first_expiry_ = Wall::max();  // none is earlier
};

}  // namespace macrovpn::discovery
