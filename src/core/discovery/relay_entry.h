// RelayEntry: what relays replicate, one per relay: its newest descriptor, or the proof that convicts it.  Made once,
// never changed, held by pointer: the nodes of a simulation share them.
#pragma once
#include <memory>

#include "base/strong.h"
#include "core/discovery/equivocation.h"

namespace macrovpn::discovery {

// The first 8 bytes of a relay id as a big-endian number, so that the order is that of the ids.  Two relays with the same are
// somebody's own doing (2^32 keys); the one with the lower rank stays.
using ShortId = Strong<struct ShortIdTag, uint64_t>;
ShortId short_id_of(const PeerId&);

// The largest descriptor that is handed on: it fits into one datagram of every link.
inline constexpr size_t kMaxHandedOn = 1189;
// What a conviction has in place of a signing time: later than all.
inline constexpr uint32_t kConvicted = UINT32_MAX;

struct RelayEntry {
  PeerId id;
  ShortId short_id;
  uint32_t seq = 0;  // unix second of the newest signature, or kConvicted
  uint64_t rank = 0;
  Wall expiry;
  ByteArray<16> digest{};  // of id, seq and body: what two copies are compared by
  IpAddress home;          // counts against the prefix quotas: the first IPv4 address, else the first
  SignedDescriptor descriptor;  // empty if convicted
  std::optional<Conviction> conviction;
  bool convicted() const { return conviction.has_value(); }
};
using EntryPtr = std::shared_ptr<const RelayEntry>;

// nullptr: its work is missing or too easy for this network (claimed_rank()), or it is larger than kMaxHandedOn.
EntryPtr make_entry(SignedDescriptor, const Network&);
// Of two descriptors that contradict each other, from entries: the lower rank of both counts.
EntryPtr make_conviction(const RelayEntry&, const RelayEntry&);

}  // namespace macrovpn::discovery
