#include "core/node/masks.h"

#include <gtest/gtest.h>

#include "crypto/x25519.h"

namespace macrovpn::node {
namespace {

constexpr NetworkId kNetwork{{1, 2, 3}};
constexpr Now kNow{Mono(1000s), wall_from_unix(1'790'000'000)};

struct Masks : testing::Test {
  PublicKey key() { return crypto::x25519_generate(rng).pub; }
  static Endpoint at(uint32_t host, uint16_t port) { return {IpAddress::v4(0xc0000200u + host), port}; }
  // A transport message under a pair mask, as the relay at the other end sends it.
  std::vector<uint8_t> transport(MaskId id) {
    std::vector<uint8_t> m(64);
    rng.fill(m);
    store_le32(m.data(), 4);
    EXPECT_TRUE(table.mask(id, m));
    return m;
  }
  bool hears(const Endpoint& from, MaskId id) {
    auto m = transport(id);
    const auto found = table.unmask(from, m);
    return found && found->mask == id;
  }
  SeededRng rng{1};
  KeyPair self = crypto::x25519_generate(rng);
  MaskTable table{kNetwork, self, 100};
};

TEST_F(Masks, ARelayHasOneEntryAndItsOwnIds) {
  const PublicKey a = key(), b = key();
  const auto called = table.called(a), pair = table.pair(a);
  ASSERT_TRUE(called && pair && table.pair(b));
  EXPECT_EQ(table.called(a), called);
  EXPECT_EQ(table.pair(a), pair);
  EXPECT_NE(table.pair(b), pair);
  EXPECT_TRUE(table.is_pair(*pair));
  EXPECT_FALSE(table.is_pair(*called) || table.is_pair(kOwnMask) || table.is_pair(kPlain));
  EXPECT_EQ(table.called(self.pub), kOwnMask);
  EXPECT_FALSE(table.pair(PublicKey{}));
  table.check_invariants();
}

// Who calls from many ports, as a relay with many workers does, keeps those that it uses.
TEST_F(Masks, AnEndpointThatCallsAgainIsNotTheOldest) {
  const MaskId relay = *table.pair(key());
  for (uint16_t port = 1; port <= kEndpointsPerRelay; port++) table.note_endpoint(at(2, port), relay);
  table.note_endpoint(at(2, 1), relay);
  table.note_endpoint(at(2, 1000), relay);
  EXPECT_TRUE(hears(at(2, 1), relay));
  EXPECT_TRUE(hears(at(2, 1000), relay));
  EXPECT_FALSE(hears(at(2, 2), relay));
  table.check_invariants();
}

// One that speaks from every port of its address, and from any other, pushes out nobody but itself.
TEST_F(Masks, EndpointsOfOneRelayPushOutOnlyItsOwn) {
  const MaskId honest = *table.pair(key()), hostile = *table.pair(key());
  table.note_endpoint(at(1, 51821), honest);
  for (uint32_t port = 1; port < 65'536; port++)
    table.note_endpoint(at(2, static_cast<uint16_t>(port)), hostile);
  EXPECT_EQ(table.endpoints(), 1 + kEndpointsPerRelay);
  EXPECT_TRUE(hears(at(1, 51821), honest));
  EXPECT_TRUE(hears(at(2, 65'535), hostile));
  EXPECT_FALSE(hears(at(2, 65'535 - kEndpointsPerRelay), hostile));
  table.check_invariants();
}

TEST_F(Masks, SeveralRelaysMaySpeakFromOneEndpoint) {
  std::vector<MaskId> ids;
  for (size_t i = 0; i < kMasksPerEndpoint; i++) {
    ids.push_back(*table.pair(key()));
    table.note_endpoint(at(1, 5), ids.back());
  }
  for (const MaskId id : ids) EXPECT_TRUE(hears(at(1, 5), id));
  // The one that was heard least lately goes.
  table.note_endpoint(at(1, 5), *table.pair(key()));
  EXPECT_FALSE(hears(at(1, 5), ids[0]));
  for (size_t i = 1; i < ids.size(); i++) EXPECT_TRUE(hears(at(1, 5), ids[i]));
  table.check_invariants();
}

TEST_F(Masks, WhatLeftTheDirectoryGoesUnlessItIsInUse) {
  const PublicKey stays = key(), quiet = key(), busy = key();
  const MaskId a = *table.called(stays), b = *table.pair(quiet), c = *table.pair(busy);
  table.note_endpoint(at(2, 1), b);
  table.note_endpoint(at(3, 1), c);
  const auto keep = [&](const PublicKey& k) { return k == stays; };
  table.sweep(keep);  // all were made just now
  EXPECT_EQ(table.relays(), 3u);
  EXPECT_TRUE(hears(at(3, 1), c));
  table.sweep(keep);
  EXPECT_EQ(table.relays(), 2u);
  EXPECT_EQ(table.endpoints(), 1u);
  std::vector<uint8_t> m(64, 4);
  EXPECT_FALSE(table.mask(b, m));  // a route that still names it gets nothing
  table.note_endpoint(at(2, 1), b);
  EXPECT_EQ(table.endpoints(), 1u);
  table.sweep(keep);
  EXPECT_EQ(table.relays(), 1u);
  std::vector<uint8_t> init(148);
  init[0] = 1;
  EXPECT_TRUE(table.mask(a, init));
  EXPECT_NE(table.pair(quiet), b);  // an id never comes back with another meaning
  table.check_invariants();
}

TEST_F(Masks, ItsLimitHolds) {
  for (int i = 0; i < 100; i++) ASSERT_TRUE(table.called(key()));
  EXPECT_FALSE(table.called(key()));
  EXPECT_FALSE(table.pair(key()));
  table.check_invariants();
}

TEST_F(Masks, ATrailersNumberIsTakenOnce) {
  MaskTable other{kNetwork, self, 100};
  const PublicKey relay = key();
  const MaskId ours = *table.pair(relay), theirs = *other.pair(relay);
  std::vector<uint64_t> numbers;
  for (int i = 0; i < 50; i++) numbers.push_back(other.next_number(theirs, kNow.wall));
  std::swap(numbers[10], numbers[20]);  // reordered on the way
  for (const uint64_t n : numbers) EXPECT_TRUE(table.accept_number(ours, n, kNow.wall));
  for (const uint64_t n : numbers) EXPECT_FALSE(table.accept_number(ours, n, kNow.wall));
}

TEST_F(Masks, ARestartedRelaysNumbersAreHigher) {
  const PublicKey relay = key();
  const MaskId ours = *table.pair(relay);
  MaskTable before{kNetwork, self, 100}, after{kNetwork, self, 100};
  const MaskId first = *before.pair(relay), second = *after.pair(relay);
  for (int i = 0; i < 10'000; i++)
    ASSERT_TRUE(table.accept_number(ours, before.next_number(first, kNow.wall), kNow.wall));
  EXPECT_TRUE(table.accept_number(ours, after.next_number(second, kNow.wall + 2ms), kNow.wall));
}

// A relay that started with its clock far ahead is not locked out once the clock is right.
TEST_F(Masks, ANumberFromTheFutureIsNotRemembered) {
  const MaskId id = *table.pair(key());
  MaskTable other{kNetwork, self, 100};
  const MaskId ahead = *other.pair(key()), right = *other.pair(key());
  EXPECT_TRUE(
      table.accept_number(id, other.next_number(ahead, kNow.wall + std::chrono::hours(24)), kNow.wall));
  EXPECT_TRUE(table.accept_number(id, other.next_number(right, kNow.wall), kNow.wall));
}

TEST_F(Masks, KeepsItsInvariantsUnderRandomOperations) {
  std::vector<PublicKey> keys;
  for (int i = 0; i < 20; i++) keys.push_back(key());
  std::vector<MaskId> ids{kOwnMask, kPlain};
  for (int i = 0; i < 20'000; i++) {
    const PublicKey& k = keys[rng.below(keys.size())];
    const Endpoint e = at(static_cast<uint32_t>(rng.below(5)), static_cast<uint16_t>(rng.below(4)));
    const MaskId id = ids[rng.below(ids.size())];
    switch (rng.below(5)) {
      case 0:
        ids.push_back(rng.below(2) == 0 ? *table.called(k) : *table.pair(k));
        break;
      case 1:
      case 2:
        table.note_endpoint(e, id);
        break;
      case 3: {
        std::vector<uint8_t> m(64);
        store_le32(m.data(), 4);
        static_cast<void>(table.mask(id, m));
        static_cast<void>(table.unmask(e, m));
        break;
      }
      default:
        if (rng.below(20) == 0) table.sweep([&](const PublicKey& p) { return p.bytes[0] < 128; });
    }
    if (i % 50 == 0) table.check_invariants();
  }
}

}  // namespace
}  // namespace macrovpn::node
