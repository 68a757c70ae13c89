#include "core/peers/observations.h"

#include <gtest/gtest.h>

namespace macrovpn::peers {
namespace {

const Wall kToday = wall_from_unix(1'800'000'000);
constexpr Duration kDay = std::chrono::hours(24);

PeerId relay(uint32_t n) {
  PeerId id;
  store_le32(id.bytes.data(), n);
  return id;
}

TEST(Observations, KnowsNothingOfARelayThatWasNeverUsed) {
  Observations o;
  EXPECT_FALSE(o.seen(relay(1), kToday));
  o.round_trip(relay(1), 5ms, Observations::Way::direct);
  o.throughput(relay(1), {1000});
  EXPECT_EQ(o.size(), 0u) << "measuring alone makes no entry";
}

TEST(Observations, CountsWhatWorkedAndWhatFailed) {
  Observations o;
  for (int i = 0; i < 9; i++) o.worked(relay(1), kToday);
  o.failed(relay(1), kToday);
  const auto s = o.seen(relay(1), kToday);
  ASSERT_TRUE(s);
  EXPECT_NEAR(s->reputation(), 8.2 / 10.3, 0.05);
  o.worked(relay(2), kToday);
  EXPECT_NEAR(o.seen(relay(2), kToday)->reputation(), 0.5, 0.01) << "once is not much";
}

TEST(Observations, ForgetsWithTimeAndNotWhenTheClockGoesBack) {
  Observations o;
  for (int i = 0; i < 8; i++) o.worked(relay(1), kToday);
  const double fresh = o.seen(relay(1), kToday)->worked;
  EXPECT_NEAR(o.seen(relay(1), kToday + 14 * kDay)->worked, fresh / 2, 0.01);
  EXPECT_EQ(o.seen(relay(1), kToday - 100 * kDay)->worked, fresh);
  o.failed(relay(1), kToday + 140 * kDay);
  EXPECT_LT(o.seen(relay(1), kToday + 140 * kDay)->reputation(), 0.01) << "what was good ten half-lives ago is no excuse";
}

TEST(Observations, CountsStayBoundedHoweverOften) {
  Observations o;
  for (int i = 0; i < 10'000; i++) o.worked(relay(1), kToday);
  EXPECT_LT(o.seen(relay(1), kToday)->worked, 64.01);
}

TEST(Observations, SmoothsRoundTripsAndKeepsTheShortestDirectOne) {
  Observations o;
  o.worked(relay(1), kToday);
  o.round_trip(relay(1), 100ms, Observations::Way::through_others);
  o.round_trip(relay(1), 20ms, Observations::Way::direct);
  o.round_trip(relay(1), 60ms, Observations::Way::direct);
  const auto s = o.seen(relay(1), kToday);
  EXPECT_EQ(s->direct, 20ms);
  EXPECT_GT(s->round_trip, 60ms);
  EXPECT_LT(s->round_trip, 100ms);
}

TEST(Observations, ThroughputRisesFastAndFallsSlowly) {
  Observations o;
  o.worked(relay(1), kToday);
  for (int i = 0; i < 8; i++) o.throughput(relay(1), {1'000'000});
  EXPECT_GT(o.seen(relay(1), kToday)->throughput.bytes_per_second, 990'000u);
  for (int i = 0; i < 8; i++) o.throughput(relay(1), {10'000});
  EXPECT_GT(o.seen(relay(1), kToday)->throughput.bytes_per_second, 800'000u);
}

TEST(Observations, AFullTableDropsOfWhomLeastIsKnown) {
  Observations o;
  for (uint32_t i = 0; i < Observations::kMaxObserved; i++) {
    o.worked(relay(i), kToday);
    if (i != 7) o.worked(relay(i), kToday);
  }
  o.worked(relay(1'000'000), kToday);
  EXPECT_EQ(o.size(), Observations::kMaxObserved);
  EXPECT_FALSE(o.seen(relay(7), kToday));
  EXPECT_TRUE(o.seen(relay(1'000'000), kToday) && o.seen(relay(0), kToday));
}

TEST(Observations, SurvivesBeingStored) {
  Observations o;
  for (int i = 0; i < 5; i++) o.worked(relay(1), kToday);
  o.failed(relay(2), kToday);
  o.round_trip(relay(1), 33ms, Observations::Way::direct);
  o.throughput(relay(1), {4 << 20});
  const auto saved = o.save();
  const auto back = Observations::load(saved);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->save(), saved);
  EXPECT_EQ(back->seen(relay(1), kToday)->direct, 33ms);
  EXPECT_NEAR(back->seen(relay(1), kToday)->worked, o.seen(relay(1), kToday)->worked, 0.01);
  auto longer = saved;
  longer.push_back(0);
  EXPECT_FALSE(Observations::load(longer).ok());
  EXPECT_FALSE(Observations::load(Bytes(saved).first(saved.size() - 1)).ok());
  EXPECT_FALSE(Observations::load({}).ok());
}

}  // namespace
}  // namespace macrovpn::peers
