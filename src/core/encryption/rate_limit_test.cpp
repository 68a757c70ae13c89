#include "core/encryption/rate_limit.h"

#include <gtest/gtest.h>

namespace macrovpn::encryption {
namespace {

CallerKey who(uint32_t n) {
  return caller_key(IpAddress::v4(n));
}
constexpr Rate kTwentyBurstFive{20, 5};

TEST(RateLimit, GivesABurstThenOneEachInterval) {
  RateLimit r;
  Mono t{};
  for (int i = 0; i < 5; i++) EXPECT_TRUE(r.allow(t, who(1), kTwentyBurstFive));
  EXPECT_FALSE(r.allow(t, who(1), kTwentyBurstFive));
  EXPECT_FALSE(r.allow(t + 49ms, who(1), kTwentyBurstFive));
  EXPECT_TRUE(r.allow(t + 50ms, who(1), kTwentyBurstFive));
  EXPECT_FALSE(r.allow(t + 50ms, who(1), kTwentyBurstFive));
  t += 10s;
  for (int i = 0; i < 5; i++) EXPECT_TRUE(r.allow(t, who(1), kTwentyBurstFive));
  EXPECT_FALSE(r.allow(t, who(1), kTwentyBurstFive));
  EXPECT_TRUE(r.allow(t, who(2), kTwentyBurstFive));
}

TEST(RateLimit, CountsAnIpv6HouseholdAsOne) {
  const auto a = caller_key(*IpAddress::parse("2001:db8::1")),
             b = caller_key(*IpAddress::parse("2001:db8::ffff:2"));
  EXPECT_EQ(a, b);
  EXPECT_NE(a, caller_key(*IpAddress::parse("2001:db8:0:1::1")));
  EXPECT_NE(caller_key(*IpAddress::parse("192.0.2.1")), caller_key(*IpAddress::parse("192.0.2.2")));
}

TEST(RateLimit, ForgetsOnlyFullBucketsWhenItsTableIsFull) {
  RateLimit r(3);
  Mono t{};
  for (uint32_t n = 1; n <= 3; n++) EXPECT_TRUE(r.allow(t, who(n), kTwentyBurstFive));
  EXPECT_FALSE(r.allow(t, who(4), kTwentyBurstFive));  // nobody has refilled
  EXPECT_EQ(r.size(), 3u);
  t += 1s;
  for (int i = 0; i < 5; i++) r.allow(t, who(1), kTwentyBurstFive);
  EXPECT_TRUE(r.allow(t, who(4), kTwentyBurstFive));
  EXPECT_EQ(r.size(), 2u);
  EXPECT_FALSE(r.allow(t, who(1), kTwentyBurstFive));  // still empty: it was not forgotten
}

TEST(RateLimit, HoldsNoMoreThanItsLimit) {
  RateLimit r;
  for (uint32_t n = 0; n < RateLimit::kMaxCallers + 10; n++) r.allow(Mono{}, who(n), kTwentyBurstFive);
  EXPECT_EQ(r.size(), RateLimit::kMaxCallers);
}

}  // namespace
}  // namespace macrovpn::encryption
