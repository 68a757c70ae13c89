#include "core/discovery/measured.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <set>

#include "core/discovery/relay_set.h"

namespace macrovpn::discovery {
namespace {

constexpr uint64_t kRate = 1'000'000;

// Relays with a weight each, of /16 and AS of their own as far as not said otherwise.
struct Draw : ::testing::Test {
  RelayEntry& add(uint64_t weight = 100, uint64_t claim = kRate, uint32_t as = 0) {
    const auto n = static_cast<uint32_t>(relays.size());
    auto e = std::make_shared<RelayEntry>();
    store_be32(e->id.bytes.data(), n);
    store_be32(e->id.bytes.data() + 4, n * 2654435761u);
    e->short_id = short_id_of(e->id);
    e->rank = n * 77;
    e->home = IpAddress::v4(0x14000001u + (n << 16));
    e->descriptor.relay.bandwidth = {claim};
    e->descriptor.relay.as_number = as;
    relays.push_back({e, weight});
    entries.push_back(e);
    return *e;
  }
  void add_many(size_t n) {
    while (n-- > 0) add();
  }
  MeasurerDraw draw() const { return MeasurerDraw(network, relays); }
  std::vector<size_t> drawn_for(size_t target, uint32_t week, MeasurerDraw::Margin margin = MeasurerDraw::Margin::none) const {
    const MeasurerDraw d = draw();
    std::vector<size_t> out;
    for (size_t i = 0; i < entries.size(); i++) {
      if (d.is_drawn(*entries[i], *entries[target], week, margin)) out.push_back(i);
    }
    return out;
  }
  // By one relay, of this week.
  void says(size_t by, uint32_t week, std::vector<MeasuredRelay> now, std::vector<MeasuredRelay> before = {}) {
    entries[by]->descriptor.details.measured = MeasuredRelays{static_cast<uint16_t>(week), std::move(now), std::move(before)};
  }
  MeasuredRelay result(size_t of, const std::optional<Bandwidth>& b) const { return {entries[of]->short_id.value, encode_result(b)}; }

  Network network;
  std::vector<WeighedRelay> relays;
  std::vector<std::shared_ptr<RelayEntry>> entries;
};

TEST(MeasuredValues, RoundDownByASixteenthAtMost) {
  EXPECT_EQ(encode_result(std::nullopt), kRefusedValue);
  EXPECT_FALSE(decode_result(kRefusedValue));
  EXPECT_EQ(decode_result(encode_result(Bandwidth{})), Bandwidth{});
  EXPECT_EQ(decode_result(encode_result(Bandwidth{8191})), Bandwidth{});
  uint64_t last = 0;
  for (uint64_t b = 8192; b < 400'000'000; b += b / 100) {
    const uint64_t v = decode_result(encode_result(Bandwidth{b}))->bytes_per_second;
    ASSERT_LE(v, b);
    ASSERT_GE(v + v / 16 + 1, b);
    ASSERT_GE(v, last);
    last = v;
  }
  EXPECT_EQ(encode_result(Bandwidth{UINT64_MAX}), 255);
  for (unsigned code = 2; code < 256; code++) EXPECT_EQ(encode_result(decode_result(static_cast<uint8_t>(code))), code);
}

TEST_F(Draw, SixStrangersOnAverage) {
  add_many(200);
  size_t all = 0;
  for (uint32_t week = 1; week <= 100; week++) all += drawn_for(7, week).size();
  EXPECT_NEAR(static_cast<double>(all) / 100, kExpectedMeasurers, 0.7);
  EXPECT_NE(drawn_for(7, 1), drawn_for(7, 2));
  EXPECT_NE(drawn_for(7, 1), drawn_for(8, 1));
}

TEST_F(Draw, NobodyOfItsPrefixSystemOrFamilyNorWhoClaimsLessThanTheRest) {
  add_many(60);
  entries[1]->home = IpAddress::v4(entries[0]->home.v4_host_order() + 7);
  entries[0]->descriptor.relay.as_number = entries[2]->descriptor.relay.as_number = 9;
  entries[0]->descriptor.relay.family = entries[3]->descriptor.relay.family = IdentityKey{{1}};
  entries[4]->descriptor.relay.bandwidth = {kRate / 2};
  std::set<size_t> ever;
  for (uint32_t week = 1; week <= 300; week++) {
    for (const size_t i : drawn_for(0, week)) ever.insert(i);
  }
  for (const size_t i : {0, 1, 2, 3, 4}) EXPECT_FALSE(ever.contains(i)) << i;
  EXPECT_EQ(ever.size(), 55u);
}

TEST_F(Draw, AllMeasureInASmallNetwork) {
  add_many(6);
  EXPECT_EQ(drawn_for(0, 3).size(), 5u);
}

// Else a flood of light relays would be most of the measurers.
TEST_F(Draw, IsByWeight) {
  add_many(50);
  for (int i = 0; i < 2000; i++) add(1);
  size_t light = 0, all = 0;
  for (uint32_t week = 1; week <= 60; week++) {
    for (const size_t i : drawn_for(0, week)) light += i >= 50, all++;
  }
  EXPECT_NEAR(static_cast<double>(light) / static_cast<double>(all), 2000.0 / 7000, 0.06);
}

TEST_F(Draw, WhoClaimsMoreThanAllIsMeasuredByTheUpperHalf) {
  for (uint64_t i = 0; i < 40; i++) add(100, i < 20 ? kRate / 4 : kRate);
  add(400, 50 * kRate);
  const auto pool = draw().pool_of(*entries[40]);
  EXPECT_EQ(pool.floor.bytes_per_second, kRate);
  EXPECT_EQ(pool.weight, 2000u) << "without its own";
  for (uint32_t week = 1; week <= 50; week++) {
    for (const size_t i : drawn_for(40, week)) EXPECT_GE(i, 20u);
  }
  EXPECT_EQ(draw().pool_of(*entries[0]).weight, 4300u) << "of him who claims little all are the pool";
}

TEST_F(Draw, TwoCopiesThatDifferALittleAgree) {
  add_many(400);
  const MeasurerDraw whole = draw();
  auto fewer = relays;
  for (size_t i = fewer.size(); i-- > 0;) {
    if (i % 10 == 3) fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
  }
  const MeasurerDraw part(network, fewer);
  size_t drawn = 0;
  for (const auto& target : fewer) {
    for (const auto& m : fewer) {
      constexpr auto kMargin = MeasurerDraw::Margin::copies_differ;
      const bool by_part = part.is_drawn(*m.relay, *target.relay, 5), by_whole = whole.is_drawn(*m.relay, *target.relay, 5);
      drawn += by_part;
      EXPECT_TRUE(!by_part || whole.is_drawn(*m.relay, *target.relay, 5, kMargin));
      EXPECT_TRUE(!by_whole || part.is_drawn(*m.relay, *target.relay, 5, kMargin));
    }
  }
  EXPECT_GT(drawn, 1500u);
}

TEST_F(Draw, ResultsOfWhoIsNotDrawnAreNothing) {
  add_many(60);
  const auto drawn = drawn_for(0, 5, MeasurerDraw::Margin::copies_differ);
  for (size_t i = 1; i < 60; i++) {
    const bool is_drawn = std::find(drawn.begin(), drawn.end(), i) != drawn.end();
    says(i, 5, {result(0, is_drawn ? Bandwidth{kRate} : Bandwidth{kRate / 10})});
  }
  ASSERT_GE(drawn.size(), 3u);
  const auto book = judge_bandwidths(draw(), 5);
  ASSERT_TRUE(book.is_measured(entries[0]->short_id));
  EXPECT_GE(book.counted(*entries[0]).bytes_per_second, kRate * 15 / 16);
}

TEST_F(Draw, ResultsHoldForThisWeekAndTheNextAndOneOfAMeasurer) {
  add_many(8);  // all measure all
  for (size_t i = 1; i <= 3; i++) says(i, 5, {result(0, Bandwidth{kRate / 2})});
  EXPECT_TRUE(judge_bandwidths(draw(), 5).is_measured(entries[0]->short_id));
  EXPECT_TRUE(judge_bandwidths(draw(), 6).is_measured(entries[0]->short_id));
  EXPECT_FALSE(judge_bandwidths(draw(), 7).is_measured(entries[0]->short_id));
  EXPECT_FALSE(judge_bandwidths(draw(), 4).is_measured(entries[0]->short_id)) << "of a week to come";
  for (size_t i = 1; i <= 3; i++) says(i, 6, {result(5, Bandwidth{kRate})}, {result(0, Bandwidth{kRate / 4})});
  EXPECT_LE(judge_bandwidths(draw(), 6).counted(*entries[0]).bytes_per_second, kRate / 4);
  EXPECT_FALSE(judge_bandwidths(draw(), 7).is_measured(entries[0]->short_id)) << "two weeks ago";
  says(1, 6, {result(0, Bandwidth{kRate})}, {result(0, Bandwidth{kRate / 4})});
  entries[2]->descriptor.details.measured.reset();
  EXPECT_FALSE(judge_bandwidths(draw(), 6).is_measured(entries[0]->short_id)) << "two results of one measurer are one";
}

TEST_F(Draw, ARefusalCountsAsLessThanAnything) {
  add_many(8);
  for (size_t i = 1; i <= 5; i++) says(i, 5, {result(0, i <= 3 ? std::nullopt : std::optional(Bandwidth{9 * kRate}))});
  EXPECT_FALSE(judge_bandwidths(draw(), 5).is_measured(entries[0]->short_id));
}

// All of ten but the first are measured: 1/2, 2/4 …
struct MostMeasured : Draw {
  MostMeasured() {
    add_many(10);
    for (size_t by = 0; by < 10; by++) {
      std::vector<MeasuredRelay> list;
      for (size_t of = 1; of < 10; of++) {
        if (of != by) list.push_back(result(of, Bandwidth{kRate * (10 + of) / 20}));
      }
      says(by, 5, list);
    }
  }
};

TEST_F(MostMeasured, WhoIsNotMeasuredCountsAsTheLowerQuartileAtMost) {
  const auto book = judge_bandwidths(draw(), 5);
  ASSERT_TRUE(book.bound);
  EXPECT_NEAR(static_cast<double>(book.bound->bytes_per_second), kRate * 13 / 20, kRate / 16);
  EXPECT_EQ(book.counted(*entries[0]), *book.bound);
  entries[0]->descriptor.relay.bandwidth = {100 * kRate};
  EXPECT_EQ(book.counted(*entries[0]), *book.bound) << "whatever it claims";
  entries[0]->descriptor.relay.bandwidth = {1000};
  EXPECT_EQ(book.counted(*entries[0]).bytes_per_second, 1000u);
}

TEST_F(MostMeasured, ClaimsCountWhileLessThanHalfOfTheWeightIsMeasured) {
  relays[0].weight = 2000;
  const auto book = judge_bandwidths(draw(), 5);
  EXPECT_FALSE(book.bound);
  EXPECT_EQ(book.counted(*entries[0]).bytes_per_second, kRate);
}

// ---- what colluders gain, by their share of a pool; docs/decisions/0044 has the table

double poisson(double mean, int n) { return std::exp(n * std::log(mean) - mean - std::lgamma(n + 1)); }

// That more of his than of the honest ones are drawn, and three at least: two weeks count, and honest ones whom he refuses say so.
double gains(double share, double drawn) {
  double p = 0;
  for (int his = 3; his < 60; his++) {
    for (int honest = 0; honest < his; honest++) p += poisson(share * drawn, his) * poisson((1 - share) * drawn, honest);
  }
  return p;
}
// The same if refusals were nothing: three of his are enough.
double gains_by_silence(double share, double drawn) {
  double p = 1;
  for (int his = 0; his < 3; his++) p -= poisson(share * drawn, his);
  return p;
}
// That as many of his as of the honest ones measure one who is honest, and spoil it.
double spoils(double share, double drawn) {
  double p = 0;
  for (int his = 2; his < 60; his++) {
    for (int honest = 0; honest <= his && his + honest < 60; honest++) {
      if (his + honest >= 3) p += poisson(share * drawn, his) * poisson((1 - share) * drawn, honest);
    }
  }
  return p;
}

TEST(Collusion, PaysSeldomWhereMostMeasurersAreHonest) {
  const double two_weeks = 2 * kExpectedMeasurers;
  for (const double share : {0.05, 0.1, 0.2, 0.3, 0.4}) {
    RecordProperty("share", std::to_string(share));
    std::printf("share of a pool %.2f: gains %.5f (one week %.5f; if refusals were nothing %.5f), spoils an honest one %.5f (one week %.5f)\n", share,
                gains(share, two_weeks), gains(share, kExpectedMeasurers), gains_by_silence(share, two_weeks), spoils(share, two_weeks),
                spoils(share, kExpectedMeasurers));
  }
  EXPECT_LT(gains(0.1, two_weeks), 0.001);
  EXPECT_LT(gains(0.2, two_weeks), 0.02);
  EXPECT_LT(spoils(0.1, two_weeks), 0.003);
  EXPECT_GT(gains_by_silence(0.2, two_weeks), 0.3) << "what refusals that count are for";
}

// The same by the draw itself: a fifth of the weight is his, and for his own relays he says ten times the truth and lets nobody else measure them.
TEST_F(Draw, AFifthOfTheWeightGainsForFewOfItsOwn) {
  constexpr size_t kHonest = 160, kHis = 40;
  add_many(kHonest + kHis);
  for (auto& e : entries) e->descriptor.relay.bandwidth = {kRate};
  for (size_t i = kHonest; i < entries.size(); i++) entries[i]->descriptor.relay.bandwidth = {10 * kRate};
  const MeasurerDraw d = draw();
  for (size_t by = 0; by < entries.size(); by++) {
    const bool is_his = by >= kHonest;
    MeasuredRelays said{5, {}, {}};
    for (size_t of = 0; of < entries.size(); of++) {
      const bool of_his = of >= kHonest;
      const std::optional<Bandwidth> b = is_his ? Bandwidth{of_his ? 10 * kRate : 0} : of_his ? std::nullopt : std::optional(Bandwidth{kRate});
      for (const uint32_t week : {5u, 4u}) {
        if (d.is_drawn(*entries[by], *entries[of], week)) (week == 5 ? said.now : said.before).push_back(result(of, b));
      }
    }
    if (!said.now.empty()) entries[by]->descriptor.details.measured = said;
  }
  const auto book = judge_bandwidths(d, 5);
  size_t gained = 0, spoilt = 0;
  for (size_t i = 0; i < entries.size(); i++) {
    const uint64_t counts = book.counted(*entries[i]).bytes_per_second;
    if (i >= kHonest) gained += counts > kRate * 4 / 3;
    if (i < kHonest) spoilt += counts < kRate / 2;
  }
  ASSERT_TRUE(book.bound);
  EXPECT_LE(gained, 2u) << "of forty";
  EXPECT_LE(spoilt, 4u) << "of a hundred and sixty";
}

}  // namespace
}  // namespace macrovpn::discovery
