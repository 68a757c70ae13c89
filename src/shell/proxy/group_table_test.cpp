#include "shell/proxy/group_table.h"

#include <gtest/gtest.h>

#include <set>

namespace macrovpn::shell {
namespace {

Mono at(Duration d) {
  return Mono(1h + d);
}

TEST(GroupTable, GivesEachNameAddressesOfItsOwn) {
  EXPECT_EQ(addresses_of(GroupSlot{0}).v4, IpAddress::parse("10.10.0.2"));
  EXPECT_EQ(addresses_of(GroupSlot{0}).v6, IpAddress::parse("fd86:ea04:1115::2"));
  EXPECT_EQ(addresses_of(GroupSlot{1}).v4, IpAddress::parse("10.10.128.1"));
  EXPECT_EQ(addresses_of(GroupSlot{1}).v6, IpAddress::parse("fd86:ea04:1115::1:1"));
  EXPECT_EQ(addresses_of(GroupSlot{kMaxGroupSlot}).v4, IpAddress::parse("10.10.255.255"));
  EXPECT_EQ(addresses_of(GroupSlot{kMaxGroupSlot}).v6, IpAddress::parse("fd86:ea04:1115::1:7fff"));
  GroupTable t;
  EXPECT_EQ(t.join(at(0s), ""), GroupSlot{0});
  EXPECT_EQ(t.join(at(0s), "ann"), GroupSlot{1});
  EXPECT_EQ(t.join(at(0s), "ben"), GroupSlot{2});
  EXPECT_EQ(t.join(at(0s), "ann"), GroupSlot{1});
  t.check_invariants();
}

TEST(GroupTable, KeepsANameForElevenMinutesAndThenNotItsSlot) {
  GroupTable t;
  ASSERT_EQ(t.join(at(0s), "ann"), GroupSlot{1});
  t.sweep(at(5h));
  EXPECT_EQ(t.names(), 1u) << "it has a connection";
  t.leave(at(5h), GroupSlot{1});
  EXPECT_EQ(t.join(at(5h + 11min - 1s), "ann"), GroupSlot{1});
  t.leave(at(6h), GroupSlot{1});
  t.sweep(at(6h + 11min));
  EXPECT_EQ(t.names(), 0u);
  EXPECT_EQ(t.join(at(7h), "ann"), GroupSlot{2});
}

TEST(GroupTable, HasALargestNumberOfNamesAndOfConnections) {
  GroupTable t;
  for (size_t i = 0; i < kMaxNames; i++) ASSERT_TRUE(t.join(at(0s), std::to_string(i)));
  EXPECT_FALSE(t.join(at(0s), "one more"));
  EXPECT_TRUE(t.join(at(0s), "7"));
  EXPECT_TRUE(t.join(at(0s), "")) << "the default group needs no place";
  t.leave(at(0s), GroupSlot{1});
  EXPECT_FALSE(t.join(at(10min), "one more")) << "what is not forgotten by the node counts";
  EXPECT_TRUE(t.join(at(11min), "one more"));
  for (size_t i = 1; i < kMaxConnectionsPerGroup; i++) ASSERT_TRUE(t.join(at(11min), ""));
  EXPECT_FALSE(t.join(at(11min), ""));
  t.check_invariants();
}

TEST(GroupTable, GivesNoSlotTwiceBeforeAllOthersWere) {
  GroupTable t;
  ASSERT_EQ(t.join(at(0s), "stays"), GroupSlot{1});
  std::set<GroupSlot> seen{GroupSlot{1}};
  for (int i = 1; i < kMaxGroupSlot; i++) {
    const Mono now = at(20min * i);
    const auto slot = t.join(now, "n" + std::to_string(i));
    ASSERT_TRUE(slot);
    EXPECT_TRUE(seen.insert(*slot).second) << slot->value;
    t.leave(now, *slot);
  }
  EXPECT_EQ(seen.size(), size_t{kMaxGroupSlot});
  EXPECT_EQ(t.join(at(20min * kMaxGroupSlot), "again"), GroupSlot{2}) << "1 is in use";
  t.check_invariants();
}

}  // namespace
}  // namespace macrovpn::shell
