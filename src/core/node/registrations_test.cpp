#include "core/node/registrations.h"

#include <gtest/gtest.h>

namespace macrovpn::node {
namespace {

PeerId id(uint16_t n) {
  PeerId out;
  store_le16(out.bytes.data(), n);
  return out;
}
const Endpoint kHome = *Endpoint::parse("203.0.113.9:4000"), kMoved = *Endpoint::parse("203.0.113.9:4001");
constexpr Mono kStart{100s};

struct RegistrationsTest : testing::Test {
  SeededRng rng{1};
  Registrations r;
  uint64_t say(Mono now, uint16_t who, uint64_t session, const Endpoint& from, uint64_t cookie) {
    return r.on_register(now, id(who), PeerRef{session}, from, kListenSocket, cookie, rng).value_or(0);
  }
};

TEST_F(RegistrationsTest, CountOnlyOnceTheCookieCameBack) {
  const uint64_t cookie = say(kStart, 1, 11, kHome, 0);
  EXPECT_NE(cookie, 0u);
  EXPECT_EQ(r.find(kStart, id(1)), nullptr);
  say(kStart, 1, 11, kHome, cookie + 1);
  EXPECT_EQ(r.find(kStart, id(1)), nullptr) << "a guess";
  EXPECT_EQ(say(kStart, 1, 11, kHome, cookie), cookie);
  ASSERT_NE(r.find(kStart, id(1)), nullptr);
  EXPECT_EQ(r.find(kStart, id(1))->at, kHome);
}

TEST_F(RegistrationsTest, AnotherEndpointHasToBeProvedAnew) {
  const uint64_t cookie = say(kStart, 1, 11, kHome, 0);
  say(kStart, 1, 11, kHome, cookie);
  const uint64_t second = say(kStart, 1, 11, kMoved, cookie);
  EXPECT_NE(second, cookie);
  EXPECT_EQ(r.find(kStart, id(1)), nullptr) << "a session that roamed to an address that never answered";
  say(kStart, 1, 11, kMoved, second);
  ASSERT_NE(r.find(kStart, id(1)), nullptr);
  EXPECT_EQ(r.find(kStart, id(1))->at, kMoved);
}

TEST_F(RegistrationsTest, GoWithTheirSessionAndWithTheirTime) {
  const uint64_t cookie = say(kStart, 1, 11, kHome, 0);
  say(kStart, 1, 11, kHome, cookie);
  r.session_gone(PeerRef{11});
  EXPECT_EQ(r.size(), 0u);
  const uint64_t again = say(kStart, 1, 12, kHome, 0);
  say(kStart, 1, 12, kHome, again);
  say(kStart + 30s, 1, 12, kHome, again);
  EXPECT_NE(r.find(kStart + 99s, id(1)), nullptr);
  EXPECT_EQ(r.find(kStart + 100s, id(1)), nullptr);
  EXPECT_EQ(r.next_deadline(), kStart + 100s);
  r.expire(kStart + 100s);
  EXPECT_EQ(r.size(), 0u);
  r.check_invariants();
}

TEST_F(RegistrationsTest, UnprovedOnesAreNotKeptAlive) {
  say(kStart, 1, 11, kHome, 0);
  say(kStart + 60s, 1, 11, kHome, 0);
  r.expire(kStart + kRegistrationLife);
  EXPECT_EQ(r.size(), 0u);
}

TEST_F(RegistrationsTest, OneAddressHasItsShareAndOneSessionOneName) {
  for (uint16_t i = 0; i < kMaxRegistrationsPerSource; i++) EXPECT_NE(say(kStart, i, 100u + i, kHome, 0), 0u);
  EXPECT_EQ(say(kStart, 99, 999, kHome, 0), 0u);
  EXPECT_NE(say(kStart, 98, 998, *Endpoint::parse("203.0.113.10:1"), 0), 0u);
  EXPECT_NE(say(kStart, 97, 100, kHome, 0), 0u) << "in the place of what that session said before";
  EXPECT_EQ(r.size(), kMaxRegistrationsPerSource + 1);
  r.check_invariants();
}

TEST_F(RegistrationsTest, AreBounded) {
  for (uint32_t i = 0; i < kMaxRegistrations + 10; i++) {
    const Endpoint from{IpAddress::v4(0xc6336400u + i), 1};
    EXPECT_EQ(say(kStart, static_cast<uint16_t>(i), 1000 + i, from, 0) != 0, i < kMaxRegistrations);
  }
  EXPECT_EQ(r.size(), kMaxRegistrations);
  r.check_invariants();
}

}  // namespace
}  // namespace macrovpn::node
