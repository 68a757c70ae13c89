#include "core/node/way_sockets.h"

#include <gtest/gtest.h>

#include <set>

namespace macrovpn::node {
namespace {

constexpr Mono kStart{100s};
const Endpoint kIts = *Endpoint::parse("203.0.113.9:4000"), kOther = *Endpoint::parse("203.0.113.9:4001");
PeerId id(uint8_t n) {
  PeerId out;
  out.bytes.fill(n);
  return out;
}

TEST(WaySockets, LetInTheirRelayAlone) {
  WaySockets w;
  const auto s = w.open(kStart, id(1), kIts, 2);
  ASSERT_EQ(s.size(), 2u);
  EXPECT_TRUE(w.lets_in(kStart, s[0], kIts));
  EXPECT_FALSE(w.lets_in(kStart, s[0], kOther));
  EXPECT_FALSE(w.lets_in(kStart, {kLastWaySocket}, kIts)) << "not open";
  EXPECT_TRUE(w.is_of(s[0], id(1)));
  EXPECT_FALSE(w.is_of(s[0], id(2)));
}

TEST(WaySockets, GoWhenTheyHeardNothingForLong) {
  WaySockets w;
  const auto s = w.open(kStart, id(1), kIts, 2);
  EXPECT_TRUE(w.lets_in(kStart + 60s, s[1], kIts));
  EXPECT_FALSE(w.lets_in(kStart + 70s, s[0], kOther)) << "that keeps it open for nobody";
  static_cast<void>(w.take_changes());
  EXPECT_EQ(w.next_deadline(), kStart + kWaySocketLife);
  w.on_deadline(kStart + kWaySocketLife);
  EXPECT_EQ(w.size(), 1u);
  const auto changes = w.take_changes();
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_TRUE(changes[0].kind == SocketChange::Kind::close && changes[0].socket == s[0]);
}

TEST(WaySockets, NumbersGoRoundAndMissNoneThatIsOpen) {
  WaySockets w;
  std::set<SocketId> winners;
  for (size_t round = 0; round < kKeptForWinners; round++) {
    const auto s = w.open(kStart, id(1), kIts, kMaxWaySockets);
    ASSERT_GE(s.size(), kMaxWaySockets - kKeptForWinners) << round;
    std::set<SocketId> fresh(s.begin(), s.end());
    EXPECT_EQ(fresh.size(), s.size());
    for (const SocketId x : s) EXPECT_TRUE(is_way_socket(x) && !winners.contains(x));
    winners.insert(s[round]);
    for (const SocketId x : s) {
      if (x != s[round]) w.close(x);
    }
    w.check_invariants();
  }
  EXPECT_EQ(w.size(), kKeptForWinners);
  EXPECT_EQ(w.room(), 0u);
  EXPECT_TRUE(w.open(kStart, id(1), kIts, 10).empty());
}

}  // namespace
}  // namespace macrovpn::node
