#include "shell/proxy/group_table.h"

#include "core/routing/address_rewrite.h"

namespace macrovpn::shell {

GroupAddresses addresses_of(GroupSlot slot) {
  const auto& inside = routing::InsideAddresses::get();
  if (slot.value == 0) return {inside.client4, inside.client6};
  ByteArray<16> v6{};
  std::copy_n(inside.client6.bytes().begin(), 8, v6.begin());
  v6[13] = 1;
  store_be16(&v6[14], slot.value);
  return {IpAddress::v4(0x0a0a8000u + slot.value), IpAddress::v6(v6)};
}

std::optional<GroupSlot> GroupTable::join(Mono now, std::string_view name) {
  sweep(now);
  GroupSlot slot{0};
  if (const auto it = slots_.find(name); it != slots_.end()) {
    slot = it->second;
  } else if (!name.empty()) {
    const auto fresh = slots_.size() < most_ ? free_slot() : std::nullopt;
    if (!fresh) return std::nullopt;
    slot = *fresh;
    slots_.emplace(name, slot);
  }
  Group& g = groups_[slot];
  if (g.connections >= kMaxConnectionsPerGroup) return std::nullopt;
  g.name = name;
  g.connections++;
  g.last = now;
  return slot;
}

std::optional<GroupSlot> GroupTable::free_slot() {
  for (size_t i = 0; i <= kMaxNames; i++) {
    latest_ = static_cast<uint16_t>(latest_ % kMaxGroupSlot + 1);
    if (!groups_.contains(GroupSlot{latest_})) return GroupSlot{latest_};
  }
  return std::nullopt;
}

void GroupTable::leave(Mono now, GroupSlot slot) {
  const auto it = groups_.find(slot);
  MV_ASSERT(it != groups_.end() && it->second.connections > 0);
  it->second.connections--;
  it->second.last = now;
}

void GroupTable::sweep(Mono now) {
  for (auto it = groups_.begin(); it != groups_.end();) {
    const bool over = it->second.connections == 0 && now - it->second.last >= kGroupKept;
    if (over) slots_.erase(it->second.name);
    it = over ? groups_.erase(it) : std::next(it);
  }
}

void GroupTable::check_invariants() const {
  MV_ASSERT(slots_.size() <= kMaxNames && groups_.size() <= kMaxNames + 1);
  for (const auto& [name, slot] : slots_) {
    const auto it = groups_.find(slot);
    MV_ASSERT(!name.empty() && slot.value != 0 && it != groups_.end() && it->second.name == name);
  }
  MV_ASSERT(groups_.size() == slots_.size() + (groups_.contains(GroupSlot{0}) ? 1 : 0));
}

}  // namespace macrovpn::shell
