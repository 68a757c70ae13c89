// Which isolation group a packet belongs to.  A packet device has one group of its own, slot 0, whose source
// addresses are the inside addresses that everybody has; a device that a proxy shares among sites or
// credentials has one more for each slot, told apart by a local source address (DESIGN §5):
//
//   slot n    10.10.(128 + n >> 8).(n & 255)    fd86:ea04:1115::1:n        1 <= n <= kLastSlot
//
// These addresses never leave the machine: packets get the inside addresses before they are sealed.
#pragma once
#include <compare>

#include "core/routing/address_rewrite.h"
#include "model/ids.h"

namespace macrovpn::node {

struct GroupId {
  TunId tun;          // 0: nobody's
  uint16_t slot = 0;  // 0: the device's own
  auto operator<=>(const GroupId&) const = default;
  bool is_nobody() const { return tun.value == 0; }
};

// May packets of this device name slots?  Not those of a program in a box: it would make circuits at will.  A device of
// another user has few, so that he does not take the places of everybody.
//   own_while_used   only_own, but the group is made by the first packet and forgotten when idle, as a slot's is
enum class Slots : uint8_t { only_own, own_while_used, few, many };

inline constexpr size_t kFewSlots = 15;  // beside the device's own group

inline constexpr uint16_t kLastSlot = 0x7fff;

// The local source address of a slot; of slot 0 the inside address.
IpAddress address_of_slot(uint16_t slot, IpFamily family);
// Nothing: not an address of a group.
std::optional<uint16_t> slot_of_address(const IpAddress& a);
// The slot that sent this packet, by its source; nothing if it has none.
std::optional<uint16_t> slot_of_packet(Bytes packet);

}  // namespace macrovpn::node
