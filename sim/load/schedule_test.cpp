#include "sim/load/schedule.h"

#include <gtest/gtest.h>

#include <map>

#include "sim/load/histogram.h"

namespace macrovpn::sim {
namespace {

TEST(Quantiles, AreDrawnAsTheTableSays) {
  SeededRng random(1);
  constexpr Quantile kTable[] = {{0, 10}, {500'000, 20}, {900'000, 100}, {1'000'000, 1'000}};
  uint64_t below_20 = 0, above_100 = 0, sum = 0;
  for (int i = 0; i < 100'000; i++) {
    const uint64_t v = draw(kTable, random);
    EXPECT_TRUE(v >= 10 && v < 1000);
    below_20 += v < 20 ? 1 : 0;
    above_100 += v >= 100 ? 1 : 0;
    sum += v;
  }
  EXPECT_NEAR(static_cast<int>(below_20), 50'000, 500);
  EXPECT_NEAR(static_cast<int>(above_100), 10'000, 300);
  EXPECT_EQ(mean(kTable), 86u);  // 0.5 · 15 + 0.4 · 60 + 0.1 · 550
  EXPECT_NEAR(static_cast<int>(sum / 100'000), 86, 2);
}

TEST(Quantiles, EveryTableIsOne) {
  SeededRng random(1);
  for (const Quantiles q : {page_objects(), first_object_bytes(), object_bytes(), reading_milliseconds(), client_session_seconds(),
                            relay_session_seconds(), absence_seconds()}) {
    for (size_t i = 1; i < q.size(); i++) EXPECT_TRUE(q[i].share > q[i - 1].share && q[i].value >= q[i - 1].value);
    EXPECT_LE(draw(q, random), q.back().value);
    const auto median = std::find_if(q.begin(), q.end(), [](const Quantile& row) { return row.share >= 500'000; });
    EXPECT_GT(mean(q), median->value);  // a heavy tail
  }
}

TEST(Histogram, KnowsQuantilesWithinASixteenth) {
  Histogram h;
  for (int i = 1; i <= 10'000; i++) h.add(std::chrono::microseconds(i * 100));
  EXPECT_EQ(h.count(), 10'000u);
  EXPECT_EQ(h.longest(), 1s);
  EXPECT_NEAR(static_cast<int>(h.at(500) / 1ms), 500, 32);
  EXPECT_NEAR(static_cast<int>(h.at(990) / 1ms), 990, 62);
  EXPECT_EQ(h.at(1000), 1s);
  EXPECT_NEAR(static_cast<int>(h.mean() / 1us), 500'050, 1);
  Histogram two = h;
  two.add(h);
  EXPECT_EQ(two.count(), 20'000u);
  EXPECT_EQ(two.at(500), h.at(500));
  EXPECT_EQ(Histogram().at(500), Duration(0));
}

TEST(Histogram, HoldsDaysAndNothingness) {
  Histogram h;
  h.add(std::chrono::hours(100));
  h.add(Duration(0));
  h.add(Duration(-5));
  EXPECT_EQ(h.at(100), Duration(0));
  EXPECT_EQ(h.at(1000), std::chrono::hours(100));
}

TEST(RoamingLaptop, MovesSleepsAndWakesInOrder) {
  SeededRng random(3);
  RoamingLaptop laptop({}, random);
  Mono last{};
  bool asleep = false;
  std::map<LaptopWish, int> wishes;
  Access access = laptop.access();
  for (int i = 0; i < 500; i++) {
    const Mono at = laptop.next_deadline();
    EXPECT_FALSE(laptop.on_deadline(at - 1ns));
    const auto step = laptop.on_deadline(at);
    ASSERT_TRUE(step);
    EXPECT_GT(step->at, last);
    EXPECT_EQ(step->wish == LaptopWish::wake, asleep);
    if (step->wish == LaptopWish::move) {
      EXPECT_NE(step->access, access);
    }
    access = step->access;
    asleep = step->wish == LaptopWish::sleep;
    EXPECT_EQ(laptop.sleeps(), asleep);
    wishes[step->wish]++;
    last = step->at;
  }
  EXPECT_GT(wishes[LaptopWish::move], 200);
  EXPECT_GT(wishes[LaptopWish::sleep], 60);
  EXPECT_NEAR(wishes[LaptopWish::sleep], wishes[LaptopWish::wake], 1);
}

TEST(Churn, HostsComeAndGoByTurns) {
  SeededRng random(5);
  Churn churn({.hosts = 1000, .shorten_by = 20}, random);
  std::vector<bool> there(1000, false);
  for (const uint32_t host : churn.present_at_first()) there[host] = true;
  EXPECT_NEAR(static_cast<int>(churn.present_at_first().size()), 700, 60);
  std::map<ChurnWish, int> wishes;
  Mono last{};
  while (churn.next_deadline() < Mono(std::chrono::minutes(10))) {
    const auto step = churn.on_deadline(churn.next_deadline());
    ASSERT_TRUE(step);
    EXPECT_GE(step->at, last);
    last = step->at;
    EXPECT_EQ(there[step->host], step->wish != ChurnWish::arrive);
    there[step->host] = !there[step->host];
    wishes[step->wish]++;
  }
  EXPECT_EQ(churn.present(), static_cast<uint32_t>(std::count(there.begin(), there.end(), true)));
  EXPECT_GT(wishes[ChurnWish::arrive], 300);
  const int left = wishes[ChurnWish::leave] + wishes[ChurnWish::crash];
  EXPECT_NEAR(wishes[ChurnWish::crash] * 1000 / left, 300, 60);
}

TEST(Churn, TheSameSeedHasTheSameCrowd) {
  SeededRng a(5), b(5);
  Churn first({.hosts = 50}, a), second({.hosts = 50}, b);
  for (int i = 0; i < 200; i++) {
    const auto x = first.on_deadline(first.next_deadline()), y = second.on_deadline(second.next_deadline());
    EXPECT_TRUE(x->at == y->at && x->host == y->host && x->wish == y->wish);
  }
}

}  // namespace
}  // namespace macrovpn::sim
