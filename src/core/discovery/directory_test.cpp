#include "core/discovery/directory.h"

#include <gtest/gtest.h>

namespace macrovpn::discovery {
namespace {

const Wall kNow = wall_from_unix(1'800'000'000);

RelayInfo relay(uint32_t n, Wall signed_at = kNow) {
  RelayInfo r;
  store_be32(r.id.bytes.data(), n);
  store_be32(r.wireguard.bytes.data(), n);
  r.endpoints = {{IpAddress::v4(0xc0000200 + n), 51820}};
  r.signed_at = signed_at;
  r.expiry = signed_at + std::chrono::hours(36);
  return r;
}

TEST(Directory, KeepsTheNewest) {
  Directory d;
  EXPECT_EQ(d.insert(relay(1)), Insert::added);
  EXPECT_EQ(d.insert(relay(1, kNow + 1s)), Insert::updated);
  EXPECT_EQ(d.insert(relay(1)), Insert::older);
  EXPECT_EQ(d.find(relay(1).id, kNow)->signed_at, kNow + 1s);
  d.check_invariants();
}

TEST(Directory, KeepsTheFirstOfTwoThatWereSignedInTheSameSecond) {
  RelayInfo a = relay(1), b = relay(1);
  b.as_number = 64501;
  Directory d, e;
  d.insert(a);
  EXPECT_EQ(d.insert(b), Insert::older);
  EXPECT_EQ(d.find(a.id, kNow)->as_number, 0u);
  e.insert(b);
  EXPECT_EQ(e.insert(a), Insert::older);
  EXPECT_EQ(e.find(a.id, kNow)->as_number, 64501u);
}

TEST(Directory, DoesNotFindWhatHasExpired) {
  Directory d;
  d.insert(relay(1));
  const Wall end = relay(1).expiry;
  EXPECT_NE(d.find(relay(1).id, end - 1s), nullptr);
  EXPECT_EQ(d.find(relay(1).id, end), nullptr);
  EXPECT_EQ(d.relays().size(), 1u);
  d.expire(end);
  EXPECT_TRUE(d.relays().empty());
  EXPECT_FALSE(d.is_relay_endpoint(relay(1).endpoints[0]));
}

TEST(Directory, CountsTheRelaysBehindAnEndpoint) {
  Directory d;
  RelayInfo a = relay(1), b = relay(2);
  b.endpoints = a.endpoints;
  d.insert(a);
  d.insert(b);
  d.remove(a.id);
  EXPECT_TRUE(d.is_relay_endpoint(b.endpoints[0]));
  RelayInfo moved = relay(2, kNow + 1s);
  d.insert(moved);
  EXPECT_FALSE(d.is_relay_endpoint(a.endpoints[0]));
  EXPECT_TRUE(d.is_relay_endpoint(moved.endpoints[0]));
  d.remove(b.id);
  d.remove(b.id);
  EXPECT_FALSE(d.is_relay_endpoint(moved.endpoints[0]));
  d.check_invariants();
}

TEST(Directory, KnowsTheKeysOfItsRelaysAndTheirFirstExpiry) {
  Directory d;
  for (uint32_t i = 1; i < 50; i++) d.insert(relay(i, kNow + std::chrono::seconds(i * 7 % 50)));
  for (uint32_t i = 1; i < 50; i += 3) d.remove(relay(i).id);
  d.insert(relay(2, kNow + 60s));
  for (Wall t = kNow + std::chrono::hours(36); t < kNow + std::chrono::hours(36) + 70s; t += 1s) {
    d.expire(t);
    size_t left = 0;
    for (uint32_t i = 1; i < 50; i++) {
      const bool listed = d.relays().contains(relay(i).id);
      EXPECT_EQ(listed, d.find(relay(i).id, t) != nullptr);
      EXPECT_EQ(listed, d.is_relay_key(relay(i).wireguard));
      left += listed;
    }
    EXPECT_EQ(left, d.relays().size());
    d.check_invariants();
  }
  EXPECT_TRUE(d.relays().empty());
}

TEST(Directory, CopiesHoldTheSameDescriptorsAndChangeAlone) {
  Directory a;
  a.insert(relay(1));
  a.insert(relay(2));
  Directory b = a;
  EXPECT_EQ(a.find(relay(1).id, kNow), b.find(relay(1).id, kNow));
  b.insert(relay(1, kNow + 1s));
  b.remove(relay(2).id);
  EXPECT_EQ(a.find(relay(1).id, kNow)->signed_at, kNow);
  EXPECT_EQ(b.find(relay(1).id, kNow)->signed_at, kNow + 1s);
  EXPECT_TRUE(a.is_relay_endpoint(relay(2).endpoints[0]));
  EXPECT_FALSE(b.is_relay_endpoint(relay(2).endpoints[0]));
  Directory c = a;
  c.insert(relay(3));
  EXPECT_EQ(a.find(relay(3).id, kNow), nullptr);
  EXPECT_EQ(a.find(relay(2).id, kNow), c.find(relay(2).id, kNow));  // one descriptor, held twice
  c.expire(relay(1).expiry);
  EXPECT_TRUE(c.relays().empty());
  EXPECT_EQ(a.relays().size(), 2u);
  for (const Directory* d : {&a, &b, &c}) d->check_invariants();
}

// Looking for what has expired is no reason to copy a list that others have, too.
TEST(Directory, CopiesStayOneAsLongAsNothingExpires) {
  Directory a;
  a.insert(relay(1));
  a.insert(relay(2));
  a.insert(relay(1, kNow + 3600s));  // its old expiry is the first that was ever known
  a.insert(relay(2, kNow + 3600s));
  Directory b = a;
  const auto* list = &a.relays();
  ASSERT_EQ(&b.relays(), list);
  a.expire(relay(1).expiry);
  b.expire(relay(1).expiry);
  EXPECT_EQ(&a.relays(), list);
  EXPECT_EQ(&b.relays(), list);
  EXPECT_EQ(a.relays().size(), 2u);
  b.expire(relay(1).expiry + 3600s);
  EXPECT_TRUE(b.relays().empty());
  EXPECT_EQ(a.relays().size(), 2u);
}

TEST(Directory, TakesNoNewRelayWhenFullButRenewsTheOldOnes) {
  Directory d;
  for (uint32_t i = 0; i < kMaxRelays; i++) ASSERT_EQ(d.insert(relay(i)), Insert::added);
  EXPECT_EQ(d.insert(relay(kMaxRelays)), Insert::full);
  EXPECT_EQ(d.insert(relay(5, kNow + 1s)), Insert::updated);
  d.remove(relay(0).id);
  EXPECT_EQ(d.insert(relay(kMaxRelays)), Insert::added);
  d.check_invariants();
}

}  // namespace
}  // namespace macrovpn::discovery
