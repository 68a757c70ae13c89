// The four messages by which copies of the directory are kept equal, inside sessions only (docs/protocol.md "Directory").
//
//   HAVE     items that the sender has and that may be new           n x (short id 8 BE | seq 4)
//   WANT     send me those; a body that I have already               n x (short id 8 BE | body's time 4, 0: none)
//   DATA     descriptors, renewals, halves of convictions            n x (kind 1 | length 2 | bytes)
//   RANGES   compares ranges of ids                                  key 16 | parts, below
//
// A part is  kind 1 | low 8 BE | high 8 BE  and then
//
//   fingerprint  count 4 | sum 16     of what I have in the range        -> nothing if you have the same; else parts of it, or a list
//   list         n 1 | n x (short id 8 BE | seq 4 | tag 4)                all that I have
//   ask          -                                                        list yours
//   more         -                                                        I have more there than fits: ask again
//   divide       -                                                        fingerprints of its parts, of yours
//
// No part: all that you asked about is the same.  The key is drawn by who begins to compare; sums and tags are keyed by it, so nobody can
// make descriptors beforehand that cancel out.  Each message fits into one datagram (kMaxSyncMessage).
//
// What a relay learns: which descriptors another has.  What a relay learns of a client: the same, of somebody who comes through a circuit.
// Nobody names a relay that it wants to use: clients fetch all that they lack.
#pragma once
#include "core/discovery/relay_entry.h"
#include "crypto/siphash.h"

namespace macrovpn::discovery {

inline constexpr size_t kMaxSyncMessage = 1192;  // with the frame's header, WireGuard's and IPv6's: 1280
inline constexpr size_t kMaxListed = 72;

enum class SyncKind : uint8_t { have, want, data, ranges };

struct Item {
  ShortId id;
  uint32_t seq = 0;
  auto operator<=>(const Item&) const = default;
};
struct Wanted {
  ShortId id;
  uint32_t body_time = 0;  // of the body that the asker has: a renewal is enough if it is still the same; 0: none
  auto operator<=>(const Wanted&) const = default;
};
struct ListedItem {
  ShortId id;
  uint32_t seq = 0;
  uint32_t tag = 0;  // of what it is, keyed: two of one second differ here
  auto operator<=>(const ListedItem&) const = default;
};
enum class Datum : uint8_t { whole = 0, renewal = 1, half = 2 };

using SyncKey = ByteArray<16>;
struct Fingerprint {
  uint32_t count = 0;
  crypto::Sip128 sum;
  auto operator<=>(const Fingerprint&) const = default;
};
struct RangePart {
  enum class Kind : uint8_t { fingerprint = 0, list = 1, ask = 2, more = 3, divide = 4 };
  Kind kind = Kind::fingerprint;
  ShortId low, high;  // both belong to it
  Fingerprint fingerprint;
  std::vector<ListedItem> list;  // ascending, inside the range, kMaxListed at most
  bool operator==(const RangePart&) const = default;
};
struct Ranges {
  SyncKey key{};
  std::vector<RangePart> parts;
  bool operator==(const Ranges&) const = default;
};

std::vector<uint8_t> encode_have(std::span<const Item>);  // as many as fit: kMaxItems
std::vector<uint8_t> encode_want(std::span<const Wanted>);
inline constexpr size_t kMaxItems = kMaxSyncMessage / 12;
std::optional<std::vector<Item>> parse_have(Bytes);
std::optional<std::vector<Wanted>> parse_want(Bytes);

size_t encoded_size(const RangePart&);
inline constexpr size_t kRangesHeader = sizeof(SyncKey);
std::vector<uint8_t> encode_ranges(const Ranges&);  // asserts that it fits
std::optional<Ranges> parse_ranges(Bytes);

struct DataItem {
  Datum kind;
  Bytes bytes;  // of the message
};
inline constexpr size_t kDataHeader = 3;
void append_data(std::vector<uint8_t>& message, Datum, Bytes);
std::optional<std::vector<DataItem>> parse_data(Bytes);

}  // namespace macrovpn::discovery
