// GroupTable: which user name of the proxy is which isolation group.
//
// A group has a number, its slot, from which its local source addresses follow; the node gives every source a
// circuit and a lease of its own and forgets it 10 minutes after its last packet.  Rules:
//   - the empty name is the default group, slot 0, which always exists;
//   - a name keeps its slot while it has connections and 11 minutes longer, so that coming back means the
//   same
//     exit address, and a slot that is free here is forgotten by the node;
//   - slots are counted up and never given again before all others were: what the node or a site still knows
//     of one name never becomes another's.  At most kMaxNames names in 11 minutes make that at least 31
//     hours.
// Names are the user's; they are kept in memory only, and leave it in no message.
#pragma once
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/strong.h"
#include "base/time.h"
#include "model/ip.h"

namespace macrovpn::shell {

using GroupSlot = Strong<struct GroupSlotTag, uint16_t>;  // 0: the default group

inline constexpr size_t kMaxNames =
    192;  // in use; as many slots as the node has for a device (client_side.h)
inline constexpr size_t kMaxConnectionsPerGroup = 512;
inline constexpr uint16_t kMaxGroupSlot = 32767;
inline constexpr Duration kGroupKept = 11min;

struct GroupAddresses {
  IpAddress v4, v6;
  const IpAddress& of(IpFamily f) const { return f == IpFamily::v4 ? v4 : v6; }
};
// 10.10.0.2 and fd86:ea04:1115::2 of slot 0; 10.10.128.0 + slot and fd86:ea04:1115::1:SLOT of the others.
GroupAddresses addresses_of(GroupSlot);

class GroupTable {
 public:
  // A connection of this name starts.  None: too many names, or connections of this one.
  std::optional<GroupSlot> join(Mono now, std::string_view name);
  void leave(Mono now, GroupSlot);
  void sweep(Mono now);
  // The daemon may take fewer names than kMaxNames; those in use stay.
  void take_at_most(size_t names) { most_ = std::min(names, kMaxNames); }
  size_t names() const { return slots_.size(); }
  void check_invariants() const;

 private:
  struct Group {
    std::string name;
    size_t connections = 0;
    Mono last;
  };
  std::optional<GroupSlot> free_slot();

  std::map<std::string, GroupSlot, std::less<>> slots_;  // without the default group
  std::map<GroupSlot, Group> groups_;
  uint16_t latest_ = 0;
  size_t most_ = kMaxNames;
};

}  // namespace macrovpn::shell
