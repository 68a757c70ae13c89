#include "core/routing/lease_table.h"

#include <gtest/gtest.h>

namespace macrovpn::routing {
namespace {

constexpr Mono kStart{1000s};
constexpr NetworkId kNetwork{{1, 2, 3}};
const CallerKey kCaller = caller_key(IpAddress::v4(0xc0000201));
constexpr crypto::Hash32 kH1{1}, kOtherH1{2};

struct LeaseTableTest : testing::Test {
  SeededRng rng{1};
  LeaseTable t{rng, kNetwork, {.leases = 8, .pending = 8}};
  LeaseTable::Taken open(PeerRef session) {
    EXPECT_TRUE(t.request(session, kCaller, {}, kH1).ok());
    auto taken = t.confirmed(kStart, session);
    EXPECT_TRUE(taken && taken->ok());
    return taken->value();
  }
  static LeaseFrame resume(const LeaseTable::Taken& lease, const crypto::Hash32& h1) {
    LeaseFrame f;
    f.flags = kLeaseResume;
    f.id = lease.id;
    f.resume_mac = resume_mac(lease.secret, kNetwork, h1);
    return f;
  }
};

TEST_F(LeaseTableTest, NothingHappensBeforeConfirmation) {
  ASSERT_TRUE(t.request(PeerRef{1}, kCaller, {}, kH1).ok());
  EXPECT_EQ(t.lease_of(PeerRef{1}), LeaseNumber{0});
  EXPECT_EQ(t.size(), 0u);
}

TEST_F(LeaseTableTest, AResumeMovesTheLeaseAndDrawsANewSecret) {
  const auto first = open(PeerRef{1});
  ASSERT_TRUE(t.request(PeerRef{2}, kCaller, resume(first, kOtherH1), kOtherH1).ok());
  EXPECT_EQ(t.session_of(first.number), PeerRef{1});  // an unconfirmed resume moves nothing
  const auto moved = t.confirmed(kStart, PeerRef{2});
  ASSERT_TRUE(moved && moved->ok());
  EXPECT_EQ(moved->value().number, first.number);
  EXPECT_FALSE(moved->value().secret == first.secret);
  EXPECT_EQ(moved->value().moved_from, std::vector{PeerRef{1}});
  EXPECT_EQ(t.session_of(first.number), PeerRef{2});
  t.check_invariants();
}

// A client asks by a circuit with a slow link, gives it up, and asks by another; then the packets of the first arrive.
TEST_F(LeaseTableTest, WhoAskedEarlierDoesNotTakeItFromWhoAskedLater) {
  const auto first = open(PeerRef{1});
  ASSERT_TRUE(t.request(PeerRef{2}, kCaller, resume(first, kH1), kH1).ok());
  ASSERT_TRUE(t.request(PeerRef{3}, kCaller, resume(first, kOtherH1), kOtherH1).ok());
  const auto taken = t.confirmed(kStart, PeerRef{3});
  ASSERT_TRUE(taken && taken->ok());
  EXPECT_FALSE(t.confirmed(kStart, PeerRef{2}).has_value());
  EXPECT_EQ(t.session_of(first.number), PeerRef{3});
  EXPECT_EQ(t.lease_of(PeerRef{2}), LeaseNumber{0});
  t.check_invariants();
  // If it is the one that is wanted after all: by either secret, since the later one's may have been lost.
  ASSERT_TRUE(t.request(PeerRef{2}, kCaller, resume(first, kH1), kH1).ok());
  ASSERT_TRUE(t.confirmed(kStart, PeerRef{2})->ok());
  EXPECT_EQ(t.session_of(first.number), PeerRef{2});
  t.check_invariants();
}

TEST_F(LeaseTableTest, AResumeIsBoundToItsHandshake) {
  const auto first = open(PeerRef{1});
  EXPECT_EQ(t.request(PeerRef{2}, kCaller, resume(first, kH1), kOtherH1).error(), ErrorCode::no_such_lease);
}

TEST_F(LeaseTableTest, ASecondResumeWithOneSecretWorksBecauseTheAnswerToTheFirstMayBeLost) {
  const auto first = open(PeerRef{1});
  ASSERT_TRUE(t.request(PeerRef{2}, kCaller, resume(first, kH1), kH1).ok());
  ASSERT_TRUE(t.confirmed(kStart, PeerRef{2})->ok());
  ASSERT_TRUE(t.request(PeerRef{3}, kCaller, resume(first, kOtherH1), kOtherH1).ok());
  ASSERT_TRUE(t.confirmed(kStart, PeerRef{3})->ok());
  EXPECT_EQ(t.session_of(first.number), PeerRef{3});
  t.check_invariants();
}

TEST_F(LeaseTableTest, AnOldSecretIsWorthNothingOnceANewerOneWasUsed) {
  const auto first = open(PeerRef{1});
  ASSERT_TRUE(t.request(PeerRef{2}, kCaller, resume(first, kH1), kH1).ok());
  ASSERT_TRUE(t.request(PeerRef{5}, kCaller, resume(first, kOtherH1), kOtherH1).ok());
  const auto second = t.confirmed(kStart, PeerRef{2});
  ASSERT_TRUE(t.request(PeerRef{3}, kCaller, resume(second->value(), kH1), kH1).ok());
  ASSERT_TRUE(t.confirmed(kStart, PeerRef{3})->ok());
  EXPECT_EQ(t.request(PeerRef{4}, kCaller, resume(first, kH1), kH1).error(), ErrorCode::no_such_lease);
  EXPECT_EQ(t.confirmed(kStart, PeerRef{5})->error(), ErrorCode::no_such_lease);  // asked in time, confirmed too late
  t.check_invariants();
}

TEST_F(LeaseTableTest, HoldsTwoSessionsAtMost) {
  auto lease = open(PeerRef{1});
  for (uint64_t s = 2; s <= 3; s++) {
    ASSERT_TRUE(t.request(PeerRef{s}, kCaller, resume(lease, kH1), kH1).ok());
    lease = t.confirmed(kStart, PeerRef{s})->value();
  }
  EXPECT_EQ(t.lease_of(PeerRef{1}), LeaseNumber{0});
  EXPECT_EQ(t.lease_of(PeerRef{2}), lease.number);
  EXPECT_EQ(t.lease_of(PeerRef{3}), lease.number);
  t.check_invariants();
}

TEST_F(LeaseTableTest, IsForgottenTwoMinutesAfterItsLastSession) {
  const auto lease = open(PeerRef{1});
  t.session_gone(kStart, PeerRef{1});
  std::vector<LeaseNumber> forgotten;
  t.expire(kStart + kLeaseAfterlife - 1s, forgotten);
  EXPECT_TRUE(forgotten.empty());
  EXPECT_EQ(t.next_deadline(), kStart + kLeaseAfterlife);
  t.expire(kStart + kLeaseAfterlife, forgotten);
  EXPECT_EQ(forgotten, std::vector{lease.number});
  EXPECT_EQ(t.size(), 0u);
}

TEST_F(LeaseTableTest, IsReleasedOnlyByItsHolder) {
  const auto lease = open(PeerRef{1});
  std::vector<LeaseNumber> forgotten;
  t.release(kStart, PeerRef{9}, lease.id);
  t.expire(kStart, forgotten);
  EXPECT_TRUE(forgotten.empty());
  t.release(kStart, PeerRef{1}, lease.id);
  t.expire(kStart, forgotten);
  EXPECT_EQ(forgotten.size(), 1u);
  t.check_invariants();
}

TEST_F(LeaseTableTest, RepeatsWhatASessionHolds) {
  const auto lease = open(PeerRef{1});
  const auto again = t.granted(PeerRef{1});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->id, lease.id);
  EXPECT_TRUE(again->secret == lease.secret);
  EXPECT_FALSE(t.granted(PeerRef{2}));
}

TEST_F(LeaseTableTest, TakesAnotherMtuFromItsNewestSessionAlone) {
  const auto first = open(PeerRef{1});
  EXPECT_TRUE(t.set_mtu(PeerRef{1}, 1200));
  EXPECT_FALSE(t.set_mtu(PeerRef{1}, 1200));
  EXPECT_FALSE(t.set_mtu(PeerRef{9}, 1000));
  EXPECT_EQ(t.granted(PeerRef{1})->mtu, 1200);
  ASSERT_TRUE(t.request(PeerRef{2}, kCaller, resume(first, kH1), kH1).ok());
  ASSERT_TRUE(t.confirmed(kStart, PeerRef{2})->ok());
  EXPECT_FALSE(t.set_mtu(PeerRef{1}, 1000));
  EXPECT_TRUE(t.set_mtu(PeerRef{2}, 1000));
  EXPECT_EQ(t.mtu_of(first.number), 1000);
}

TEST_F(LeaseTableTest, RefusesTheNinthLease) {
  for (uint64_t s = 1; s <= 8; s++) open(PeerRef{s});
  EXPECT_EQ(t.request(PeerRef{9}, kCaller, {}, kH1).error(), ErrorCode::full);
  t.check_invariants();
}

TEST(LeaseTable, NobodyHoldsMoreThanTheShareOfTheirAddressOrRelay) {
  SeededRng rng(2);
  LeaseTable t(rng, kNetwork, {.leases = 50, .pending = 50, .per_source = 5, .per_relay = 20});
  const CallerKey address = caller_key(*IpAddress::parse("192.0.2.1")), relay = caller_key(PeerId{{7}});
  uint64_t session = 0;
  const auto fill = [&](const CallerKey& who) {
    size_t taken = 0;
    for (int i = 0; i < 60; i++) {
      const PeerRef s{++session};
      if (!t.request(s, who, {}, kH1).ok()) continue;
      const auto done = t.confirmed(kStart, s);
      taken += done && done->ok();
    }
    return taken;
  };
  EXPECT_EQ(fill(address), 5u);
  EXPECT_EQ(fill(relay), 20u);
  EXPECT_EQ(fill(caller_key(*IpAddress::parse("192.0.2.2"))), 5u);
  t.check_invariants();
  t.session_gone(kStart, PeerRef{1});
  std::vector<LeaseNumber> forgotten;
  t.expire(kStart + kLeaseAfterlife, forgotten);
  EXPECT_EQ(forgotten.size(), 1u);
  EXPECT_EQ(fill(address), 1u);
}

TEST(LeaseTable, RequestsThatWaitAreSharedOutToo) {
  SeededRng rng(2);
  LeaseTable t(rng, kNetwork, {.leases = 50, .pending = 50, .per_source = 5, .per_relay = 20});
  const CallerKey address = caller_key(*IpAddress::parse("192.0.2.1"));
  size_t waiting = 0;
  for (uint64_t s = 1; s <= 30; s++) waiting += t.request(PeerRef{s}, address, {}, kH1).ok();
  EXPECT_EQ(waiting, 5u);
  EXPECT_TRUE(t.request(PeerRef{1}, address, {}, kOtherH1).ok());  // instead of its own
  EXPECT_TRUE(t.request(PeerRef{99}, caller_key(PeerId{}), {}, kH1).ok());
  t.check_invariants();
}

// A lease that moves to a session from elsewhere still counts for whoever made it: else a table could be filled by
// making leases at one address and moving them to others.
TEST(LeaseTable, AMovedLeaseStaysChargedToItsMaker) {
  SeededRng rng(2);
  LeaseTable t(rng, kNetwork, {.leases = 50, .pending = 50, .per_source = 2});
  const CallerKey maker = caller_key(*IpAddress::parse("192.0.2.1")), mover = caller_key(*IpAddress::parse("192.0.2.2"));
  for (uint64_t s = 1; s <= 2; s++) {
    ASSERT_TRUE(t.request(PeerRef{s}, maker, {}, kH1).ok());
    const auto taken = t.confirmed(kStart, PeerRef{s})->value();
    ASSERT_TRUE(t.request(PeerRef{10 + s}, mover, LeaseTableTest::resume(taken, kH1), kH1).ok());
    ASSERT_TRUE(t.confirmed(kStart, PeerRef{10 + s})->ok());
  }
  EXPECT_EQ(t.request(PeerRef{3}, maker, {}, kH1).error(), ErrorCode::full);
  EXPECT_TRUE(t.request(PeerRef{20}, mover, {}, kH1).ok());
  t.check_invariants();
}

TEST_F(LeaseTableTest, NumbersAreNotReusedSoon) {
  const auto a = open(PeerRef{1});
  t.release(kStart, PeerRef{1}, a.id);
  std::vector<LeaseNumber> forgotten;
  t.expire(kStart, forgotten);
  EXPECT_NE(open(PeerRef{2}).number, a.number);
}

}  // namespace
}  // namespace macrovpn::routing
