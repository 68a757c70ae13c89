#include "core/routing/leg_table.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace macrovpn::routing {
namespace {

NextHop hop_to(uint8_t n) {
  NextHop h;
  h.relay.bytes[0] = n;
  h.endpoint = {IpAddress::v4(0xc6336400u + n), 51820};
  return h;
}
constexpr Mono kStart{1000s};
const CallerKey kCaller = caller_key(IpAddress::v4(0xc0000201));

TEST(LegTable, FindsALegFromBothSides) {
  LegTable t;
  auto leg = t.open(PeerRef{1}, kCaller, LegNumber{5}, hop_to(1));
  ASSERT_TRUE(leg.ok());
  ASSERT_TRUE(t.register_index(kStart, **leg, SessionIndex{77}).ok());
  EXPECT_EQ(t.find_down(PeerRef{1}, LegNumber{5}), *leg);
  EXPECT_EQ(t.find_up(kStart, hop_to(1).endpoint, SessionIndex{77}), *leg);
  EXPECT_EQ(t.find_up(kStart, hop_to(2).endpoint, SessionIndex{77}), nullptr);  // another sender's packet
  EXPECT_EQ(t.find_down(PeerRef{2}, LegNumber{5}), nullptr);                    // another caller's number
}

TEST(LegTable, RefusesAnIndexThatAnotherLegToTheSameEndpointHolds) {
  LegTable t;
  auto a = t.open(PeerRef{1}, kCaller, LegNumber{1}, hop_to(1));
  auto b = t.open(PeerRef{2}, kCaller, LegNumber{1}, hop_to(1));
  ASSERT_TRUE(t.register_index(kStart, **a, SessionIndex{9}).ok());
  const auto second = t.register_index(kStart + 1s, **b, SessionIndex{9});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error(), ErrorCode::index_in_use);
  EXPECT_EQ(t.find_up(kStart + 1s, hop_to(1).endpoint, SessionIndex{9}), *a);
}

TEST(LegTable, KeepsTheLastFourIndexesEachForThreeMinutes) {
  LegTable t;
  auto leg = t.open(PeerRef{1}, kCaller, LegNumber{1}, hop_to(1));
  for (uint32_t i = 1; i <= 5; i++)
    ASSERT_TRUE(t.register_index(kStart + i * 1s, **leg, SessionIndex{i}).ok());
  EXPECT_EQ(t.find_up(kStart + 6s, hop_to(1).endpoint, SessionIndex{1}), nullptr);
  for (uint32_t i = 2; i <= 5; i++)
    EXPECT_NE(t.find_up(kStart + 6s, hop_to(1).endpoint, SessionIndex{i}), nullptr) << i;
  EXPECT_EQ(t.find_up(kStart + 2s + kIndexLife, hop_to(1).endpoint, SessionIndex{2}), nullptr);
  EXPECT_NE(t.find_up(kStart + 2s + kIndexLife, hop_to(1).endpoint, SessionIndex{5}), nullptr);
  t.check_invariants();
}

TEST(LegTable, DiesWithItsNewestIndex) {
  LegTable t;
  auto leg = t.open(PeerRef{1}, kCaller, LegNumber{1}, hop_to(1));
  t.answered(**leg);
  ASSERT_TRUE(t.register_index(kStart, **leg, SessionIndex{1}).ok());
  EXPECT_EQ(t.next_deadline(), kStart + kIndexLife);
  t.expire(kStart + kIndexLife - 1s);
  EXPECT_EQ(t.size(), 1u);
  t.expire(kStart + kIndexLife);
  EXPECT_EQ(t.size(), 0u);
  t.check_invariants();
}

TEST(LegTable, ANumberCannotBeTurnedToAnotherRelay) {
  LegTable t;
  ASSERT_TRUE(t.open(PeerRef{1}, kCaller, LegNumber{1}, hop_to(1)).ok());
  EXPECT_TRUE(t.open(PeerRef{1}, kCaller, LegNumber{1}, hop_to(1)).ok());
  EXPECT_EQ(t.open(PeerRef{1}, kCaller, LegNumber{1}, hop_to(2)).error(), ErrorCode::no_such_leg);
}

TEST(LegTable, HoldsItsLimitsInAllAndPerCaller) {
  LegTable t({.total = 10, .per_upstream = 4});
  for (uint32_t i = 1; i <= 4; i++) EXPECT_TRUE(t.open(PeerRef{1}, kCaller, LegNumber{i}, hop_to(1)).ok());
  EXPECT_EQ(t.open(PeerRef{1}, kCaller, LegNumber{5}, hop_to(1)).error(), ErrorCode::full);
  for (uint32_t i = 1; i <= 6; i++) EXPECT_TRUE(t.open(PeerRef{10 + i}, kCaller, LegNumber{1}, hop_to(1)).ok());
  EXPECT_EQ(t.open(PeerRef{99}, kCaller, LegNumber{1}, hop_to(1)).error(), ErrorCode::full);
  t.check_invariants();
  t.close_all(PeerRef{1});
  EXPECT_TRUE(t.open(PeerRef{99}, kCaller, LegNumber{1}, hop_to(1)).ok());
  t.check_invariants();
}

TEST(LegTable, NobodyHoldsMoreThanTheShareOfTheirAddressOrRelay) {
  LegTable t({.total = 100, .per_upstream = 50, .per_source = 10, .per_relay = 30});
  const CallerKey address = caller_key(*IpAddress::parse("192.0.2.1")), relay = caller_key(PeerId{{7}});
  // Over many sessions, two legs each.
  const auto fill = [&](const CallerKey& who, uint64_t first_session) {
    const size_t before = t.size();
    for (uint64_t i = 0; i < 100; i++)
      static_cast<void>(t.open(PeerRef{first_session + i / 2}, who, LegNumber{1 + static_cast<uint32_t>(i % 2)}, hop_to(1)));
    return t.size() - before;
  };
  EXPECT_EQ(fill(address, 1000), 10u);
  EXPECT_EQ(fill(relay, 2000), 30u);
  EXPECT_TRUE(t.open(PeerRef{2}, caller_key(*IpAddress::parse("192.0.2.9")), LegNumber{1}, hop_to(1)).ok());
  t.check_invariants();
  t.close_all(PeerRef{1000});
  EXPECT_EQ(fill(address, 1000), 2u);  // what was closed, and no more
  t.check_invariants();
}

TEST(LegTable, AnUnansweredLegGoesSoonAndAnAnsweredOneLives) {
  LegTable t;
  auto a = t.open(PeerRef{1}, kCaller, LegNumber{1}, hop_to(1));
  auto b = t.open(PeerRef{1}, kCaller, LegNumber{2}, hop_to(1));
  ASSERT_TRUE(t.register_index(kStart, **a, SessionIndex{1}).ok());
  ASSERT_TRUE(t.register_index(kStart, **b, SessionIndex{2}).ok());
  t.answered(**b);
  t.answered(**b);
  EXPECT_EQ(t.next_deadline(), kStart + kUnansweredLife);
  t.expire(kStart + kUnansweredLife);
  EXPECT_EQ(t.find_down(PeerRef{1}, LegNumber{1}), nullptr);
  EXPECT_NE(t.find_down(PeerRef{1}, LegNumber{2}), nullptr);
  EXPECT_EQ(t.next_deadline(), kStart + kIndexLife);
  t.check_invariants();
}

TEST(LegTable, KeepsItsInvariantsUnderRandomOperations) {
  SeededRng rng(3);
  LegTable t({.total = 40, .per_upstream = 10, .per_source = 35});
  Mono now = kStart;
  for (int i = 0; i < 20'000; i++) {
    const PeerRef up{1 + rng.below(6)};
    const LegNumber number{1 + static_cast<uint32_t>(rng.below(12))};
    switch (rng.below(5)) {
      case 0:
        static_cast<void>(t.open(up, kCaller, number, hop_to(static_cast<uint8_t>(rng.below(3)))));
        break;
      case 1:
        if (auto* leg = t.find_down(up, number)) {
          static_cast<void>(t.register_index(now, *leg, SessionIndex{static_cast<uint32_t>(rng.below(30))}));
          if (rng.below(3) == 0) t.answered(*leg);
        }
        break;
      case 2:
        t.close(up, number);
        break;
      case 3:
        t.expire(now);
        break;
      default:
        if (rng.below(50) == 0) t.close_all(up);
        now += rng.between(0s, 5s);
    }
    if (i % 50 == 0) t.check_invariants();
  }
}

}  // namespace
}  // namespace macrovpn::routing
