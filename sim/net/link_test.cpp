#include "sim/net/link.h"

#include <gtest/gtest.h>

#include <vector>

namespace macrovpn::sim {
namespace {

constexpr Mono kStart{1s};

// Offers `count` datagrams, one every `every`; the arrivals of all, in the order of the offers.
std::vector<Sent> offer_many(Link& link, size_t count, Duration every, size_t bytes = 1000) {
  std::vector<Sent> out;
  for (size_t i = 0; i < count; i++) out.push_back(link.offer(kStart + every * static_cast<int64_t>(i), bytes));
  return out;
}

TEST(Link, CarriesAfterItsLatency) {
  SeededRng random(1);
  Link link({.latency = 25ms}, random);
  const Sent sent = link.offer(kStart, 1200);
  ASSERT_EQ(sent.copies, 1);
  EXPECT_EQ(sent.at[0], kStart + 25ms);
}

TEST(Link, SendsOneAfterTheOtherAtItsRate) {
  SeededRng random(1);
  Link link({.latency = 10ms, .rate = {1'000'000}, .queue = 100'000}, random);  // 1000 bytes a millisecond
  EXPECT_EQ(link.offer(kStart, 1000).at[0], kStart + 11ms);
  EXPECT_EQ(link.offer(kStart, 500).at[0], kStart + 11500us);
  EXPECT_EQ(link.queue_delay(kStart), 1500us);
  EXPECT_EQ(link.offer(kStart + 10ms, 1000).at[0], kStart + 21ms);  // it was idle
  EXPECT_EQ(link.counters().longest_queue, 1ms);
}

TEST(Link, DropsWhatItsQueueCannotHold) {
  SeededRng random(1);
  Link link({.rate = {1'000'000}, .queue = 10'000}, random);
  for (int i = 0; i < 10; i++) EXPECT_EQ(link.offer(kStart, 1000).drop, LinkDrop::none) << i;
  EXPECT_EQ(link.offer(kStart, 1000).drop, LinkDrop::queue_full);
  EXPECT_EQ(link.offer(kStart + 1ms, 1000).drop, LinkDrop::none);  // one has left
  EXPECT_EQ(link.counters().dropped_for(LinkDrop::queue_full), 1u);
  EXPECT_EQ(link.counters().carried, 11u);
}

TEST(Link, AnIdleLinkTakesOneHoweverSmallItsQueue) {
  SeededRng random(1);
  Link link({.rate = {1'000'000}, .queue = 100}, random);
  EXPECT_EQ(link.offer(kStart, 1000).copies, 1);
}

TEST(Link, JitterStaysWithinItsBoundsAndNeverReorders) {
  SeededRng random(7);
  Link link({.latency = 20ms, .jitter = 15ms}, random);
  Mono last = kLongAgo;
  bool differs = false;
  for (int64_t i = 0; i < 2000; i++) {
    const Mono offered = kStart + 1ms * i;
    const Mono at = link.offer(offered, 100).at[0];
    EXPECT_GE(at, last);
    EXPECT_GE(at, offered + 5ms);
    EXPECT_LE(at, offered + 35ms);
    differs |= at - offered != 20ms;
    last = at;
  }
  EXPECT_TRUE(differs);
}

TEST(Link, ReordersOnlyWhenAskedTo) {
  SeededRng random(7);
  Link link({.latency = 20ms, .reordered = 100'000, .reorder_by = 5ms}, random);
  size_t overtaken = 0;
  Mono latest = kLongAgo;
  for (const Sent& sent : offer_many(link, 2000, 1ms)) {
    overtaken += sent.at[0] < latest ? 1 : 0;
    latest = std::max(latest, sent.at[0]);
  }
  EXPECT_GT(overtaken, 50u);
  EXPECT_NEAR(static_cast<int>(link.counters().reordered), 200, 60);
}

TEST(Link, LosesTheShareThatItWasTold) {
  SeededRng random(3);
  Link link({.loss = LossModel::independent(20'000)}, random);
  offer_many(link, 50'000, 1us);
  EXPECT_NEAR(static_cast<int>(link.counters().dropped_for(LinkDrop::lost)), 1000, 120);
}

TEST(Link, LosesInBurstsOfTheLengthThatItWasTold) {
  SeededRng random(4);
  Link link({.loss = LossModel::bursts(20'000, 8)}, random);
  size_t bursts = 0;
  bool before = false;
  for (const Sent& sent : offer_many(link, 400'000, 1us)) {
    bursts += sent.drop == LinkDrop::lost && !before ? 1 : 0;
    before = sent.drop == LinkDrop::lost;
  }
  const auto lost = static_cast<int>(link.counters().dropped_for(LinkDrop::lost));
  ASSERT_GT(bursts, 0u);
  EXPECT_NEAR(lost, 8000, 900);
  EXPECT_NEAR(lost / static_cast<int>(bursts), 8, 1);
}

TEST(Link, ABurstIsOverAfterAPauseHoweverFewWereOffered) {
  SeededRng random(4);
  Link link({.loss = LossModel::bursts(20'000, 8)}, random);
  size_t lost = 0, in_a_row = 0;
  bool before = false;
  for (const Sent& sent : offer_many(link, 100'000, kBurstOver)) {
    const bool now = sent.drop == LinkDrop::lost;
    lost += now;
    in_a_row += now && before;
    before = now;
  }
  ASSERT_GT(lost, 100u);
  EXPECT_LT(in_a_row, lost / 20);  // two bursts, by chance
}

TEST(Link, DuplicatesTheShareThatItWasTold) {
  SeededRng random(5);
  Link link({.latency = 5ms, .duplicated = 50'000}, random);
  size_t copies = 0;
  for (const Sent& sent : offer_many(link, 20'000, 1us)) copies += sent.copies;
  EXPECT_NEAR(static_cast<int>(copies), 21'000, 150);
  EXPECT_EQ(copies - 20'000, link.counters().duplicated);
}

TEST(Link, RefusesWhatIsTooBigAndSwallowsWhatAHoleSwallows) {
  SeededRng random(1);
  Link link({.mtu = 1500, .black_hole_above = 1300}, random);
  EXPECT_EQ(link.offer(kStart, 1300).drop, LinkDrop::none);
  EXPECT_EQ(link.offer(kStart, 1301).drop, LinkDrop::black_hole);
  EXPECT_EQ(link.offer(kStart, 1501).drop, LinkDrop::too_big);
}

TEST(Link, CarriesNothingWhileItIsDown) {
  SeededRng random(1);
  LinkModel model{.latency = 1ms};
  Link link(model, random);
  model.up = false;
  link.set(model);
  EXPECT_EQ(link.offer(kStart, 10).drop, LinkDrop::down);
  model.up = true;
  link.set(model);
  EXPECT_EQ(link.offer(kStart, 10).copies, 1);
}

TEST(Link, TheSameSeedGivesTheSameArrivals) {
  const LinkModel model{.latency = 30ms, .jitter = 9ms, .rate = megabits(8), .queue = 40'000, .loss = LossModel::bursts(30'000, 4),
                        .duplicated = 10'000, .reordered = 10'000, .reorder_by = 4ms};
  SeededRng first(11), second(11);
  Link a(model, first), b(model, second);
  for (int64_t i = 0; i < 5000; i++) {
    const Sent x = a.offer(kStart + 900us * i, 1000), y = b.offer(kStart + 900us * i, 1000);
    ASSERT_EQ(x.drop, y.drop);
    ASSERT_EQ(x.copies, y.copies);
    ASSERT_EQ(x.at, y.at);
  }
}

}  // namespace
}  // namespace macrovpn::sim
