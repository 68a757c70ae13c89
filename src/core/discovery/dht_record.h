// Records of the one-hop DHT: small signed notes that their owner leaves with relays for somebody who knows the owner.
//
// "One hop": who asks has the whole directory, so the relays that hold a key are worked out, not looked for.  There is no routing table to
// poison and no lookup to capture.
//
//   record = version 1 (1) | service 1 | owner 32 | name 16 | day 4 | seq 8 | expiry 4 | length 2 | value | signature 64     1000 bytes at most
//     owner      Ed25519 key; the signature is over "macrovpn dht record 1" | network id 8 | all before it
//     name       first 16 bytes of BLAKE2b-256("macrovpn dht name 1" | network id 8 | name): holders do not read names
//     day        since 1970, UTC: the key is another one each day
//     seq        of two records of one key the higher one is the newer
//     expiry     unix seconds; at most 24 h ahead
//   key    = BLAKE2b-256("macrovpn dht key 1" | network id 8 | service 1 | owner 32 | name 16 | day 4)
//   place of a relay = first 8 bytes of BLAKE2b-256("macrovpn dht place 1" | network id 8 | relay id 20 | rank 8)
//
// Who may write a key: the owner named in it, nobody else; so who reads must know the owner's key, and the record proves itself.  The rank
// is of the relay's proof of work (work.h), so another place costs another proof, and all move each epoch.  A key's holders are the
// kHolders relays whose places are closest (XOR with the key's first 8 bytes).
//
// What holders learn: that somebody's key has a record, and its value unless the owner encrypted it; a reader who comes through a circuit
// is nobody to them, but that somebody reads the key is known to them.
#pragma once
#include <optional>
#include <vector>

#include "base/time.h"
#include "core/discovery/relay_set.h"
#include "crypto/ed25519.h"
#include "crypto/hash.h"

namespace macrovpn::discovery {

inline constexpr size_t kHolders = 12, kAcksWanted = 6;
inline constexpr size_t kMaxDhtRecord = 1000, kDhtRecordOverhead = 132;
inline constexpr size_t kMaxDhtValue = kMaxDhtRecord - kDhtRecordOverhead;
inline constexpr Duration kMaxDhtLife = std::chrono::hours(24);
inline constexpr Duration kDhtSkew = std::chrono::minutes(10);  // that clocks may differ

enum class DhtService : uint8_t { diagnosis = 0, introducers = 1, measurements = 2, payments = 3, notes = 4 };  // or any other number

using DhtName = ByteArray<16>;
struct DhtKey {
  ByteArray<32> bytes{};
  auto operator<=>(const DhtKey&) const = default;
};
using DhtPlace = uint64_t;

// What a key is of.
struct DhtSlot {
  uint8_t service = 0;  // a DhtService, or one that this version does not know
  IdentityKey owner;
  DhtName name{};
  uint32_t day = 0;
  auto operator<=>(const DhtSlot&) const = default;
};
DhtName dht_name(const NetworkId&, std::string_view name);
uint32_t dht_day(Wall);
DhtKey dht_key(const NetworkId&, const DhtSlot&);
DhtPlace dht_place(const NetworkId&, const PeerId&, uint64_t rank);
inline DhtPlace place_of(const DhtKey& key) { return load_be64(key.bytes.data()); }

struct DhtRecord {
  DhtSlot slot;
  uint64_t seq = 0;
  Wall expiry;
  std::vector<uint8_t> value;
};
// Asserts kMaxDhtValue.
std::vector<uint8_t> sign_dht_record(const DhtRecord&, const NetworkId&, const crypto::SigningKey& owner);
// Nothing: not a record, or not signed by its owner.  Says nothing about times.
std::optional<DhtRecord> open_dht_record(Bytes, const NetworkId&);
// By our clock: not expired, not further ahead than may be, and of a day that it may be.
bool is_timely(const DhtRecord&, Wall now);

// The places of all relays of a directory: who holds a key.  28 bytes a relay; a query is one walk, 30 µs for ten thousand.
class DhtPlaces {
 public:
  explicit DhtPlaces(const Network& network) : network_(network.id) {}
  void apply(const SetChanges&);
  void reset(std::span<const EntryPtr>);  // these and no others; what apply() would take a second for
  void add(const RelayEntry&);     // convicted ones have no place
  void remove(const RelayEntry&);
  // The `count` closest, closest first, after leaving out the first `skip`.
  std::vector<PeerId> closest(const DhtKey&, size_t count = kHolders, size_t skip = 0) const;
  size_t size() const { return places_.size(); }

 private:
  struct Place {
    DhtPlace at = 0;
    PeerId id;
    auto operator<=>(const Place&) const = default;
  };
  NetworkId network_;
  std::vector<Place> places_;  // ascending
};

}  // namespace macrovpn::discovery
