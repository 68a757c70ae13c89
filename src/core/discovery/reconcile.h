// Range-based set reconciliation (after A. Meyer, "Range-Based Set Reconciliation", SRDS 2023): two copies compare the fingerprint of all;
// where it differs they compare sixteen parts, and so on, until a range is small enough to be listed.  What differs costs its logarithm,
// what is equal one message.
//
// Who answers keeps nothing between messages: a range, the sender's fingerprint and the key are all in what came.  Items within 30
// minutes of their expiry are in no fingerprint and no list, so that clocks that differ do not make copies differ.
#pragma once
#include "core/discovery/relay_set.h"
#include "core/discovery/sync_message.h"

namespace macrovpn::discovery {

inline constexpr Duration kLeftOutBeforeExpiry = std::chrono::minutes(30);
inline constexpr size_t kSplit = 16;
inline constexpr size_t kListBelow = 24;      // what we list of our own rather than compare further
inline constexpr size_t kListForAlmost = 8;   // the other has so few that all is new to it
inline constexpr size_t kMaxReplyMessages = 8;  // to one message

inline constexpr ShortId kLowest{0}, kHighest{UINT64_MAX};

// What one comparison sees of a set: its key, its time, and the items that are to be left out of it.
class View {
 public:
  View(const RelaySet& set, const SyncKey& key, Wall now) : set_(set), key_(key), now_(now) {}
  View(const RelaySet& set, const SyncKey& key, Wall now, std::vector<ShortId> left_out)  // ascending
      : set_(set), key_(key), now_(now), left_out_(std::move(left_out)) {}
  Fingerprint fingerprint(ShortId low, ShortId high) const;
  std::vector<ListedItem> list(ShortId low, ShortId high, size_t at_most) const;
  // At most kSplit ranges that make up the given one, each with about as many items; one if it cannot be divided.
  std::vector<RangePart> split(ShortId low, ShortId high) const;
  bool counts(const RelayEntry&) const;    // whether it is in what is compared
  size_t hashed() const { return hashed_; }  // how many items were, since it was made: what this cost

 private:
  crypto::Sip128 hash(const RelayEntry&) const;
  const RelaySet& set_;  // lives longer than this
  SyncKey key_;
  Wall now_;
  std::vector<ShortId> left_out_;  // its own: what is found while it is used goes into the one it was made of
  mutable size_t hashed_ = 0;
};

// What a comparison of a list with our own copy says.
struct Differences {
  std::vector<Item> want;          // newer there, or not here
  std::vector<ShortId> disputed;   // of the same second, and another body
  std::vector<Item> newer_here;    // or not there
  std::vector<ShortId> lacking;    // not there at all
  std::vector<ShortId> same;       // there too, in this version or another
};
Differences compare(const View&, const RelaySet&, const RangePart& list);

// The parts that answer a fingerprint, an ask, a more or a divide; nothing if the fingerprint is the same.  Who answers by asking (a client)
// asks for lists and fingerprints in place of giving its own: so whatever it takes another to have, that one has said.
enum class Answers : uint8_t { with_lists, by_asking };
std::vector<RangePart> answer(const View&, const RangePart&, Answers);

// Packs parts into messages of kMaxSyncMessage, kMaxReplyMessages at most; the rest is dropped, but for one `more` over it.
std::vector<std::vector<uint8_t>> pack(const SyncKey&, std::vector<RangePart>);

}  // namespace macrovpn::discovery
