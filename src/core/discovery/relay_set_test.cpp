#include "core/discovery/relay_set.h"

#include <gtest/gtest.h>

#include <map>

#include "crypto/x25519.h"

namespace macrovpn::discovery {
namespace {

const Wall kNow = wall_from_unix(1'800'000'000);

// Without signatures: the set believes its entries.
EntryPtr entry(uint64_t id, IpAddress home, uint64_t rank, uint32_t seq = 1'800'000'000) {
  auto e = std::make_shared<RelayEntry>();
  store_be64(e->id.bytes.data(), id);
  e->short_id = {id};
  e->rank = rank;
  e->seq = seq;
  e->expiry = wall_from_unix(seq) + kDescriptorLife;
  e->home = home;
  e->descriptor.relay.identity.bytes = {static_cast<uint8_t>(id), static_cast<uint8_t>(id >> 8)};
  e->descriptor.body_signed_at = wall_from_unix(seq);
  e->descriptor.relay.signed_at = wall_from_unix(seq);
  e->descriptor.bytes.assign(2 + kBlockSize, 0);
  return e;
}

IpAddress v4(uint32_t a) { return IpAddress::v4(0x0a000000 + a); }
IpAddress v6(uint8_t outer, uint8_t inner, uint8_t host) {
  return IpAddress::v6({0x3f, 0xff, 0, outer, 0, inner, 0, 0, 0, 0, 0, 0, 0, 0, 0, host});
}

Network small_caps() {
  Network n;
  n.max_per_v4_24 = 2;
  n.max_per_v4_16 = 3;
  n.max_per_v6_48 = 1;
  n.max_per_v6_32 = 2;
  return n;
}

std::vector<uint64_t> ids_of(const RelaySet& set) {
  std::vector<uint64_t> out;
  for (const EntryPtr& e : set.all()) out.push_back(e->short_id.value);
  return out;
}

// The naive twin: all candidates by rank, each taken if all its prefixes have room.
std::vector<uint64_t> by_rank(std::vector<EntryPtr> all, const Network& network) {
  std::sort(all.begin(), all.end(), [](const EntryPtr& a, const EntryPtr& b) { return std::pair(a->rank, a->id) < std::pair(b->rank, b->id); });
  std::map<IpPrefix, unsigned> used;
  std::vector<uint64_t> out;
  for (const EntryPtr& e : all) {
    const bool is_v4 = e->home.is_v4();
    const IpPrefix inner = IpPrefix::of(e->home, is_v4 ? 24 : 48), outer = IpPrefix::of(e->home, is_v4 ? 16 : 32);
    if (used[inner] >= (is_v4 ? network.max_per_v4_24 : network.max_per_v6_48)) continue;
    if (used[outer] >= (is_v4 ? network.max_per_v4_16 : network.max_per_v6_32)) continue;
    used[inner]++;
    used[outer]++;
    out.push_back(e->short_id.value);
  }
  std::sort(out.begin(), out.end());
  return out;
}

struct Universe {
  explicit Universe(uint64_t seed) : rng(seed) {
    for (uint64_t i = 0; i < 60; i++) {
      const bool is_v4 = rng.below(3) != 0;
      const IpAddress home = is_v4 ? v4(static_cast<uint32_t>(rng.below(3) << 16 | rng.below(3) << 8 | rng.below(250)))
                                   : v6(static_cast<uint8_t>(rng.below(3)), static_cast<uint8_t>(rng.below(4)), static_cast<uint8_t>(i));
      entries.push_back(entry(rng.u64(), home, rng.below(40)));  // some ranks are equal
    }
  }
  void shuffle() {
    for (size_t i = entries.size(); i > 1; i--) std::swap(entries[i - 1], entries[rng.below(i)]);
  }
  SeededRng rng;
  std::vector<EntryPtr> entries;
};

TEST(RelaySet, IsTheSameWhateverTheOrder) {
  for (uint64_t seed = 0; seed < 300; seed++) {
    Universe u(seed);
    const auto expected = by_rank(u.entries, small_caps());
    for (int order = 0; order < 4; order++) {
      u.shuffle();
      RelaySet set(small_caps());
      SetChanges changes;
      for (const EntryPtr& e : u.entries) set.insert(e, changes);
      ASSERT_EQ(ids_of(set), expected) << "seed " << seed;
      set.check_invariants();
      EXPECT_EQ(changes.come.size() - changes.gone.size(), set.size());
    }
  }
}

TEST(RelaySet, IsTheSameHoweverItIsMergedFromPartsThatForgotTheirLosers) {
  for (uint64_t seed = 0; seed < 300; seed++) {
    Universe u(seed);
    const auto expected = by_rank(u.entries, small_caps());
    std::vector<RelaySet> parts(4, RelaySet(small_caps()));
    SetChanges changes;
    for (const EntryPtr& e : u.entries) {
      parts[u.rng.below(4)].insert(e, changes);
      parts[u.rng.below(4)].insert(e, changes);
    }
    // Everybody hears from everybody, in any order; each hands on only what it kept.
    for (int i = 0; i < 60; i++) {
      const size_t from = u.rng.below(4), to = u.rng.below(4);
      const RelaySet copy = parts[from];
      for (const EntryPtr& e : copy.all()) parts[to].insert(e, changes);
    }
    for (const RelaySet& p : parts) {
      ASSERT_EQ(ids_of(p), expected) << "seed " << seed;
      p.check_invariants();
    }
  }
}

TEST(RelaySet, KeepsTheLowestRanksOfAPrefix) {
  RelaySet set(small_caps());
  SetChanges changes;
  EXPECT_EQ(set.insert(entry(1, v4(1), 50), changes), Inserted::added);
  EXPECT_EQ(set.insert(entry(2, v4(2), 60), changes), Inserted::added);
  EXPECT_EQ(set.insert(entry(3, v4(3), 70), changes), Inserted::crowded_out);
  EXPECT_EQ(set.insert(entry(4, v4(4), 55), changes), Inserted::added);
  EXPECT_EQ(ids_of(set), (std::vector<uint64_t>{1, 4}));
  ASSERT_EQ(changes.gone.size(), 1u);
  EXPECT_EQ(changes.gone[0]->short_id.value, 2u);
  EXPECT_EQ(set.insert(entry(5, v4(0x100), 90), changes), Inserted::added);
  EXPECT_EQ(set.insert(entry(6, v4(0x200), 91), changes), Inserted::crowded_out) << "the /16 has three";
  EXPECT_EQ(set.insert(entry(7, v4(0x10200), 91), changes), Inserted::added) << "another /16";
}

TEST(RelaySet, TellsPrefixesOfDifferentKindsApart) {
  EXPECT_NE(homes_of(v4(0)).inner, homes_of(v4(256)).inner);
  EXPECT_EQ(homes_of(v4(0)).inner, homes_of(v4(255)).inner);
  EXPECT_EQ(homes_of(v4(0)).outer, homes_of(v4(256)).outer);
  EXPECT_NE(homes_of(v4(0)).outer, homes_of(v4(0x10000)).outer);
  EXPECT_NE(homes_of(v6(1, 1, 1)).inner, homes_of(v6(1, 2, 1)).inner);
  EXPECT_EQ(homes_of(v6(1, 1, 1)).inner, homes_of(v6(1, 1, 9)).inner);
  EXPECT_EQ(homes_of(v6(1, 1, 1)).outer, homes_of(v6(1, 2, 1)).outer);
  EXPECT_NE(homes_of(v6(1, 1, 1)).outer, homes_of(v6(2, 1, 1)).outer);
  // The same bits as /24, /16, /32 and /48.
  const Homes four = homes_of(IpAddress::v4(0x00000000)), six = homes_of(IpAddress::v6({}));
  EXPECT_EQ((std::set<uint64_t>{four.inner, four.outer, six.inner, six.outer}).size(), 4u);
}

TEST(RelaySet, ReplacesByWhatWasSignedLaterAndKeepsTheOldWhereTheNewHasNoRoom) {
  RelaySet set(small_caps());
  SetChanges changes;
  const uint32_t t = 1'800'000'000;
  set.insert(entry(1, v4(1), 50, t), changes);
  EXPECT_EQ(set.insert(entry(1, v4(1), 50, t), changes), Inserted::older);
  EXPECT_EQ(set.insert(entry(1, v4(1), 50, t - 1), changes), Inserted::older);
  EXPECT_EQ(set.insert(entry(1, v4(2), 50, t + 1), changes), Inserted::replaced);
  set.insert(entry(8, v4(0x10001), 10), changes);
  set.insert(entry(9, v4(0x10002), 10), changes);
  EXPECT_EQ(set.insert(entry(1, v4(0x10003), 50, t + 2), changes), Inserted::crowded_out);
  EXPECT_EQ(set.find({1})->seq, t + 1);
  EXPECT_EQ(set.insert(entry(1, v4(0x10003), 5, t + 2), changes), Inserted::replaced) << "with a lower rank";
  EXPECT_EQ(set.size(), 2u);
  set.check_invariants();
}

TEST(RelaySet, KeepsTheLowerRankOfTwoWithOneShortId) {
  auto twin = std::make_shared<RelayEntry>(*entry(1, v4(0x10001), 20));
  twin->id.bytes[19] = 1;
  for (const bool twin_first : {true, false}) {
    RelaySet set(small_caps());
    SetChanges changes;
    set.insert(twin_first ? twin : entry(1, v4(1), 50), changes);
    set.insert(twin_first ? entry(1, v4(1), 50) : twin, changes);
    ASSERT_EQ(set.size(), 1u);
    EXPECT_EQ(set.find({1})->id, twin->id);
    set.check_invariants();
  }
}

TEST(RelaySet, ForgetsWhatExpiredAndHasRoomAgain) {
  RelaySet set(small_caps());
  SetChanges changes;
  for (uint32_t i = 0; i < 3; i++) set.insert(entry(i, v4(i << 8), 10, 1'800'000'000 + i), changes);
  EXPECT_EQ(set.insert(entry(9, v4(0x300), 90), changes), Inserted::crowded_out);
  set.expire(kNow + kDescriptorLife - 1s, changes);
  EXPECT_EQ(set.size(), 3u);
  set.expire(kNow + kDescriptorLife, changes);
  EXPECT_EQ(ids_of(set), (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(set.insert(entry(9, v4(0x300), 90), changes), Inserted::added);
  set.expire(kNow + kDescriptorLife * 2, changes);
  EXPECT_EQ(set.size(), 0u);
  set.check_invariants();
}

TEST(RelaySet, ConvictsWhoSignedTwoBodiesInOneSecond) {
  SetChanges changes;
  const auto a = entry(1, v4(1), 50);
  auto b = std::make_shared<RelayEntry>(*a);
  b->descriptor.body_hash[0] = 1;
  for (const bool a_first : {true, false}) {
    RelaySet set(small_caps());
    set.insert(a_first ? a : b, changes);
    EXPECT_EQ(set.insert(a_first ? b : a, changes), Inserted::convicted);
    ASSERT_TRUE(set.find({1})->convicted());
    EXPECT_EQ(set.insert(entry(1, v4(1), 50, 1'800'000'100), changes), Inserted::banned);
    set.insert(entry(2, v4(2), 80), changes);
    set.insert(entry(3, v4(3), 80), changes);
    EXPECT_EQ(set.size(), 3u) << "a conviction fills no place of its prefix";
    const EntryPtr proof = set.find({1});
    RelaySet other(small_caps());
    EXPECT_EQ(other.insert(proof, changes), Inserted::convicted) << "handed on";
    EXPECT_EQ(other.insert(a, changes), Inserted::banned);
    EXPECT_EQ(other.insert(proof, changes), Inserted::older);
    set.check_invariants();
    set.expire(kNow + kConvictionLife, changes);
    EXPECT_EQ(set.find({1}), nullptr);
  }
}

TEST(RelaySet, KeepsAThousandConvictionsOfLowestRank) {
  RelaySet set(small_caps());
  SetChanges changes;
  const auto convicted = [](uint64_t id, uint64_t rank) {
    const auto a = entry(id, v4(1), rank);
    auto b = std::make_shared<RelayEntry>(*a);
    b->descriptor.body_hash[0] = 1;
    return make_conviction(*a, *b);
  };
  for (uint64_t i = 0; i < kMaxConvictions; i++) set.insert(convicted(i, 10 + i), changes);
  EXPECT_EQ(set.insert(convicted(5000, 5000), changes), Inserted::crowded_out);
  EXPECT_EQ(set.insert(convicted(5000, 5), changes), Inserted::convicted);
  EXPECT_EQ(set.size(), kMaxConvictions);
  EXPECT_EQ(set.find({kMaxConvictions - 1}), nullptr);
  set.check_invariants();
}

TEST(RelaySet, HoldsTwentyFiveThousandAndThenTheLowestRanks) {
  Network wide;
  wide.max_per_v4_24 = wide.max_per_v4_16 = 25'000;
  RelaySet set(wide);
  SetChanges changes;
  for (uint32_t i = 0; i < kMaxRelays; i++) ASSERT_EQ(set.insert(entry(i, v4(i), 100 + i), changes), Inserted::added);
  EXPECT_EQ(set.insert(entry(90'000, v4(90'000), 100 + kMaxRelays), changes), Inserted::crowded_out);
  EXPECT_EQ(set.insert(entry(90'000, v4(90'000), 50), changes), Inserted::added);
  EXPECT_EQ(set.size(), kMaxRelays);
  EXPECT_EQ(set.find({kMaxRelays - 1}), nullptr);
  set.check_invariants();
}

}  // namespace
}  // namespace macrovpn::discovery
