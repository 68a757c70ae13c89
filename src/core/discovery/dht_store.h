// DhtStore: the records that a relay holds for others, in memory: whoever wrote them tells them again.
//
// Kept is what its owner signed, what is timely, and what this relay is among the kMaxRank closest to by its own directory; twice as many as are
// asked, since directories differ while news travel.  Of one key the highest seq stays.
//
// Bounds: kMaxRecords records of at most 1000 bytes each in all, kMaxOfOwner of one owner, and half of all of owners that are no relays of the
// directory: keys cost nothing, so what strangers write must not crowd out what relays tell about themselves (whose number the
// quotas bound).  Where there is no room the newcomer is refused; nothing that is held gives way to a stranger.  A relay's record takes the place of
// the stranger's that expires first.
#pragma once
#include <functional>
#include <map>

#include "core/discovery/dht_message.h"

namespace macrovpn::discovery {

inline constexpr size_t kMaxDhtRecords = 8192, kMaxDhtOfStrangers = kMaxDhtRecords / 2, kMaxDhtOfOwner = 64;
inline constexpr size_t kMaxDhtRank = 2 * kHolders;

struct DhtStoreCounts {
  uint64_t stored = 0, older = 0, bad = 0, not_ours = 0, full = 0, found = 0, missing = 0, malformed = 0;
};

class DhtStore {
 public:
  DhtStore(const Network& network, const PeerId& self) : network_(network.id), self_(self) {}

  // The answer's body, of STORED to a PUT and of FOUND to a GET; nothing to what cannot be read.
  std::optional<std::vector<uint8_t>> on_request(Wall now, DhtKind put_or_get, Bytes body, const DhtPlaces&, const RelaySet&);
  DhtPut put(Wall now, Bytes record, const DhtPlaces&, const RelaySet&);
  Bytes get(Wall now, const DhtKey&);  // empty: none; until the next call of a member
  void expire(Wall now);
  size_t size() const { return records_.size(); }
  const DhtStoreCounts& counts() const { return counts_; }
  void check_invariants() const;

 private:
  struct Held {
    std::vector<uint8_t> bytes;
    IdentityKey owner;
    uint64_t seq = 0;
    Wall expiry;
    bool of_relay = false;
  };
  using Records = std::map<DhtKey, Held>;
  bool make_room(const Held& newcomer);
  void drop(Records::iterator);

  NetworkId network_;
  PeerId self_;
  Records records_;
  std::map<IdentityKey, size_t> of_owner_;
  size_t of_strangers_ = 0;
  Wall first_expiry_ = Wall::max();  // none is earlier
  DhtStoreCounts counts_;
};

}  // namespace macrovpn::discovery
