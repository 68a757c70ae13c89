#include "core/routing/weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "base/rng.h"

namespace macrovpn::routing {
namespace {

const Wall kNow = wall_from_unix(1'790'000'000);

struct WeightsTest : testing::Test {
  std::vector<RelayInfo> relays;
  Network network;
  SeededRng rng{1};

  RelayInfo& add(uint32_t address, uint64_t bandwidth = 1 << 20, uint32_t as_number = 0) {
    RelayInfo& r = relays.emplace_back();
    store_le32(r.id.bytes.data(), static_cast<uint32_t>(relays.size()));
    r.identity.bytes[0] = 1;
    r.endpoints = {{IpAddress::v4(address), 51820}};
    r.bandwidth = {bandwidth};
    r.as_number = as_number;
    r.created = kNow - std::chrono::hours(24 * 60);
    return r;
  }
  // Each in a /16 and an AS of its own.
  void honest(uint32_t n, uint64_t bandwidth = 1 << 20) {
    for (uint32_t i = 0; i < n; i++) add(0x14000001 + (i << 16), bandwidth, 1000 + i);
  }
  // So many in one /16 of AS `as`.
  void crowd(uint32_t prefix, uint32_t n, uint32_t as, uint64_t bandwidth = 1 << 20) {
    for (uint32_t i = 0; i < n; i++) add((prefix << 16) + i + 1, bandwidth, as);
  }
  std::vector<uint64_t> weights() {
    std::vector<const RelayInfo*> view;
    for (const RelayInfo& r : relays) view.push_back(&r);
    return weights_of(view, network, kNow);
  }
  // Of a thousand.
  uint64_t share(auto&& of) {
    const auto w = weights();
    uint64_t some = 0;
    for (size_t i = 0; i < w.size(); i++) some += of(relays[i]) ? w[i] : 0;
    return some * 1000 / std::accumulate(w.begin(), w.end(), uint64_t{0});
  }
  static uint64_t middle_of(std::vector<uint64_t> of) {
    std::sort(of.begin(), of.end());
    return of[of.size() / 2];
  }
  // The median of the networks' medians: once of bandwidth, for the cap, once of what that leaves.
  uint64_t worth_naively() const {
    const auto median_by = [&](auto&& network_of, auto&& value) {
      std::map<uint64_t, std::vector<uint64_t>> by;
      for (const RelayInfo& r : relays) by[network_of(r)].push_back(value(r));
      std::vector<uint64_t> medians;
      for (auto& [prefix, of] : by) medians.push_back(middle_of(of));
      return middle_of(medians);
    };
    const auto worth = [&](auto&& value) {
      const auto prefix = [](const RelayInfo& r) { return uint64_t{r.endpoints[0].address.v4_host_order() >> 16}; };
      const auto system = [](const RelayInfo& r) { return r.as_number != 0 ? uint64_t{r.as_number} : uint64_t{load_le32(r.id.bytes.data())} << 32; };
      return std::min(median_by(prefix, value), median_by(system, value));
    };
    const uint64_t most = 4 * worth([](const RelayInfo& r) { return r.bandwidth.bytes_per_second; });
    return worth([&](const RelayInfo& r) {
      const auto days = std::clamp<int64_t>((kNow - r.created) / std::chrono::hours(24), 1, 14);
      return std::max<uint64_t>(std::min(r.bandwidth.bytes_per_second, most) / 1024, 1) * static_cast<uint64_t>(days);
    });
  }
  static bool in(const RelayInfo& r, uint32_t prefix) { return r.endpoints[0].address.v4_host_order() >> 16 == prefix; }
};

constexpr uint32_t kCrowded = 0x6464;

TEST_F(WeightsTest, AreTheClaimsTimesAgeWhereNobodyCrowds) {
  honest(100);
  relays[3].created = kNow - std::chrono::hours(24 * 7);
  relays[4].created = kNow - std::chrono::hours(1);
  relays[5].bandwidth = {3 << 20};
  relays[6].bandwidth = {uint64_t{1} << 60};
  relays[7].bandwidth = {0};
  const auto w = weights();
  EXPECT_EQ(w[0], 1024u * 14);
  EXPECT_EQ(w[3], 1024u * 7);
  EXPECT_EQ(w[4], 1024u);
  EXPECT_EQ(w[5], 3 * 1024u * 14);
  EXPECT_EQ(w[6], 4 * 1024u * 14);
  EXPECT_EQ(w[7], 14u);
}

TEST_F(WeightsTest, OnePrefixCountsAsEightRelaysInASmallNetwork) {
  honest(50);
  crowd(kCrowded, 64, 0);
  EXPECT_NEAR(static_cast<double>(share([](auto& r) { return in(r, kCrowded); })), 1000.0 * 8 / 58, 2);
}

TEST_F(WeightsTest, OnePrefixHasOnePercentOfALargeNetwork) {
  honest(2000);
  crowd(kCrowded, 64, 0);
  EXPECT_EQ(share([](auto& r) { return in(r, kCrowded); }), 9u);  // 1 % of all, less what rounding takes
}

TEST_F(WeightsTest, OneSystemHasTwoPercentHoweverManyItsPrefixes) {
  honest(2000);
  for (uint32_t p = 0; p < 32; p++) crowd(kCrowded + p, 64, 64500);
  EXPECT_NEAR(static_cast<double>(share([](auto& r) { return r.as_number == 64500; })), 20, 1);
}

TEST_F(WeightsTest, WhoLiesAboutHisSystemHasWhatHisPrefixesHave) {
  honest(2000);
  for (uint32_t p = 0; p < 4; p++) crowd(kCrowded + p, 64, 0);
  for (size_t i = 2000; i < relays.size(); i++) relays[i].as_number = 70000 + static_cast<uint32_t>(i);
  EXPECT_NEAR(static_cast<double>(share([](auto& r) { return r.as_number >= 70000; })), 40, 1);
}

TEST_F(WeightsTest, OneFamilyHasTwoPercentHoweverSpread) {
  honest(3000);
  for (size_t i = 0; i < 300; i++) relays[i].family = IdentityKey{{7}};
  EXPECT_NEAR(static_cast<double>(share([](auto& r) { return r.family.has_value(); })), 20, 1);
}

// The median relay of a flooded directory is the flood's: what a relay is worth is a prefix's matter.
TEST_F(WeightsTest, AFloodDoesNotSayWhatARelayIsWorth) {
  honest(100);
  for (uint32_t p = 0; p < 40; p++) crowd(kCrowded + p, 64, 64500 + p % 2, uint64_t{1} << 40);
  // Two AS, each 8 relays' worth.
  EXPECT_NEAR(static_cast<double>(share([](auto& r) { return r.as_number >= 64500; })), 1000.0 * 16 / 116, 2);
}

TEST_F(WeightsTest, AFamilyOfV6CountsByItsPrefix) {
  honest(200);
  for (uint8_t i = 0; i < 60; i++) add(0).endpoints = {{IpAddress::v6({0x2a, 1, 2, 3, i, i, i, i, 0, i}), 51820}};
  EXPECT_NEAR(static_cast<double>(share([](auto& r) { return !r.endpoints[0].address.is_v4(); })), 1000.0 * 8 / 208, 2);
}

TEST_F(WeightsTest, EightRelaysAreNeverCut) {
  crowd(kCrowded, 8, 64500);
  for (const uint64_t w : weights()) EXPECT_EQ(w, 1024u * 14);
  relays.clear();
  EXPECT_TRUE(weights().empty());
}

// Whatever claims, families, prefixes and systems are mixed.
TEST_F(WeightsTest, NobodyHasMoreThanHisBound) {
  for (int world = 0; world < 60; world++) {
    relays.clear();
    const auto n = static_cast<uint32_t>(20 + rng.below(1500));
    const auto prefixes = 1 + rng.below(400), systems = 1 + rng.below(200), families = 1 + rng.below(100);
    for (uint32_t i = 0; i < n; i++) {
      // Skewed: the small numbers are crowded.
      const auto skewed = [&](uint64_t of) { return static_cast<uint32_t>(rng.below(1 + rng.below(of))); };
      RelayInfo& r = add((0x14000000 + (skewed(prefixes) << 16)) + i % 65536, uint64_t{1} << rng.below(45), skewed(systems));
      if (rng.below(4) == 0) r.family = IdentityKey{{1, static_cast<uint8_t>(skewed(families))}};
      r.created = kNow - std::chrono::hours(rng.below(24 * 40));
    }
    const auto w = weights();
    std::map<uint32_t, uint64_t> of_prefix, of_system;
    std::map<IdentityKey, uint64_t> of_family;
    for (size_t i = 0; i < w.size(); i++) {
      ASSERT_GT(w[i], 0u);
      of_prefix[relays[i].endpoints[0].address.v4_host_order() >> 16] += w[i];
      if (relays[i].as_number != 0) of_system[relays[i].as_number] += w[i];
      if (relays[i].family) of_family[*relays[i].family] += w[i];
    }
    const uint64_t all = std::accumulate(w.begin(), w.end(), uint64_t{0});
    const uint64_t floor = 8 * worth_naively();
    const auto held = [&](const auto& sums, uint64_t per_mille) {
      for (const auto& [key, sum] : sums) {
        const uint64_t bound = std::max(floor, all * per_mille / 1000);
        EXPECT_LE(sum, bound + bound / 50 + 64) << "world " << world << ", " << per_mille << " of a thousand";
      }
    };
    held(of_prefix, kPrefixPerMille);
    held(of_system, kSystemPerMille);
    held(of_family, kFamilyPerMille);
  }
}

// Two percent of what remains for each of them would be 94 of 100.
TEST_F(WeightsTest, FiftySystemsTogetherDoNotLiftEachOthersBounds) {
  honest(500);
  for (uint32_t p = 0; p < 200; p++) crowd(kCrowded + p, 64, 64500 + p / 4);
  // Each has 2 % of 500 honest relays' worth and of 8 for each of the 50: 18.
  EXPECT_NEAR(static_cast<double>(share([](auto& r) { return r.as_number >= 64500; })), 1000.0 * 900 / 1400, 10);
}

}  // namespace
}  // namespace macrovpn::routing
