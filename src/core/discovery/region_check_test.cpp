#include "core/discovery/region_check.h"

#include <gtest/gtest.h>

#include "core/discovery/countries.h"

namespace macrovpn::discovery {
namespace {

Region at(const char* code) { return {{static_cast<uint8_t>(code[0]), static_cast<uint8_t>(code[1])}}; }
RegionProbe probe(const char* from, Duration least, RegionProbe::Trust trust = RegionProbe::Trust::claimed) {
  return {at(from), least, kSamples, trust};
}

TEST(Countries, AreFoundByCode) {
  for (const char* code : {"AD", "DE", "NO", "US", "ZW"}) EXPECT_TRUE(country_of(at(code))) << code;
  EXPECT_FALSE(country_of(at("QQ")));
  EXPECT_FALSE(country_of(Region{}));
}

// Distances between capitals, from their published coordinates: the table may never say that two countries are farther apart.
TEST(Countries, AreNeverSaidToBeFartherApartThanTheirCapitals) {
  const struct { const char *a, *b; double km; } known[] = {
      {"NO", "JP", 8'410}, {"DE", "AU", 16'080}, {"US", "GB", 5'900}, {"FR", "ES", 1'050}, {"BR", "ZA", 7'500}, {"SE", "DK", 520}, {"IN", "SG", 4'150}, {"CH", "SG", 10'300}};
  for (const auto& k : known) {
    const double least = least_km_between(*country_of(at(k.a)), *country_of(at(k.b)));
    EXPECT_LE(least, k.km) << k.a << " " << k.b;
    EXPECT_EQ(least, least_km_between(*country_of(at(k.b)), *country_of(at(k.a))));
  }
  EXPECT_GT(least_km_between(*country_of(at("CH")), *country_of(at("SG"))), 9'000) << "and it says something";
  EXPECT_EQ(least_km_between(*country_of(at("DE")), *country_of(at("FR"))), 0) << "neighbours touch";
}

TEST(RegionCheck, LightIsNotOvertaken) {
  EXPECT_TRUE(delay_refutes(at("CH"), at("SG"), 20ms)) << "20 ms are 2000 km at most";
  EXPECT_FALSE(delay_refutes(at("CH"), at("SG"), 170ms));
  EXPECT_FALSE(delay_refutes(at("DE"), at("FR"), 1ms)) << "neighbours are not told apart";
  EXPECT_FALSE(delay_refutes(at("CH"), at("CH"), 300ms)) << "slow proves nothing";
  EXPECT_FALSE(delay_refutes(at("QQ"), at("SG"), 1ms));
  EXPECT_FALSE(delay_refutes(at("CH"), at("SG"), 0ms)) << "not measured";
}

TEST(RegionCheck, AClaimAloneStaysAClaim) {
  EXPECT_EQ(judge_region({Region{}, at("NO")}), Proof::unknown);
  EXPECT_EQ(judge_region({at("NO"), Region{}}), Proof::claimed);
  EXPECT_EQ(judge_region({at("NO"), at("NO")}), Proof::claimed) << "the database alone verifies nothing";
  EXPECT_EQ(judge_region({at("NO"), at("SE")}), Proof::claimed) << "nor does it refute";
}

TEST(RegionCheck, IsVerifiedByTheDatabaseAndTwoWhoAreNear) {
  const RegionProbe near[] = {probe("NO", 4ms), probe("NO", 14ms)};
  EXPECT_EQ(judge_region({at("NO"), at("NO"), near}), Proof::verified);
  EXPECT_EQ(judge_region({at("NO"), at("SE"), near}), Proof::claimed) << "the database does not agree";
  EXPECT_EQ(judge_region({at("NO"), at("NO"), std::span(near).first(1)}), Proof::claimed);
  RegionProbe hasty[] = {near[0], near[1]};
  hasty[1].samples = kSamples - 1;
  EXPECT_EQ(judge_region({at("NO"), at("NO"), hasty}), Proof::claimed);
  const RegionProbe far[] = {probe("NO", 4ms), probe("NO", 16ms)};
  EXPECT_EQ(judge_region({at("NO"), at("NO"), far}), Proof::claimed);
}

TEST(RegionCheck, WhoSitsElsewhereAndAnswersTooSoonIsRefuted) {
  // It sits in Switzerland, claims Singapore, and friends there say that it is near.
  const RegionProbe probes[] = {probe("SG", 2ms), probe("SG", 3ms), probe("DE", 8ms), probe("CH", 3ms)};
  EXPECT_EQ(judge_region({at("SG"), at("SG"), probes}), Proof::refuted);
  EXPECT_EQ(judge_region({at("SG"), at("SG"), std::span(probes).first(3)}), Proof::claimed) << "one whose place is a claim: doubt, no proof";
  const RegionProbe own[] = {probe("SG", 2ms), probe("SG", 3ms), probe("CH", 3ms, RegionProbe::Trust::ours)};
  EXPECT_EQ(judge_region({at("SG"), at("SG"), own}), Proof::refuted) << "what we measured ourselves is enough";
}

// Whatever delay is added, a false claim is never verified while someone honest is near the relay's true place.
TEST(RegionCheck, AddedDelayNeverVerifiesAFalseClaim) {
  for (Duration added{}; added < 400ms; added += 1ms) {
    const RegionProbe honest[] = {probe("SG", 160ms + added), probe("SG", 165ms + added), probe("CH", 3ms + added)};
    EXPECT_NE(judge_region({at("SG"), at("SG"), honest}), Proof::verified);
  }
}

}  // namespace
}  // namespace macrovpn::discovery
