// The measurement as a model: what targets that lie in every way that was thought of gain by it.
#include "core/discovery/bandwidth_check.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>

namespace macrovpn::discovery {
namespace {

constexpr Duration kTick = 10ms, kDelay = 40ms;
constexpr uint64_t kCapacity = 1'000'000;  // bytes per second that the target can really receive and send

struct Target {
  uint64_t claim = kCapacity;
  uint64_t users = 0;              // bytes per second that it really carries for others
  uint64_t reported_users = 0;
  bool forges = false;             // sends back what it never got
  bool from_memory = false;        // sends the same samples again and again
  bool cuts = false;               // sends back a few bytes of each sample
  std::set<size_t> serves;         // only these measurers; empty: all
};

// One measurement; the target's line is a bucket of its capacity.
Bandwidth measure(const Target& t, size_t who, uint64_t seed) {
  SeededRng rng(seed * 10 + who);
  Mono now(1h);
  BandwidthMeasurer m({t.claim}, now + 1s, rng);
  std::deque<std::vector<uint8_t>> waiting;
  std::deque<std::pair<Mono, std::vector<uint8_t>>> back;
  std::vector<uint8_t> last;
  double credit = 0;
  const bool serves = t.serves.empty() || t.serves.contains(who);
  while (!m.is_over(now)) {
    now += kTick;
    std::vector<std::vector<uint8_t>> samples;
    m.on_deadline(now, samples);
    for (auto& s : samples) waiting.push_back(std::move(s));
    while (waiting.size() > 200) waiting.pop_front();
    const double per_tick = static_cast<double>(kCapacity - t.users) * 0.01;
    credit = std::min(credit + per_tick, 5 * per_tick);
    const auto send = [&](std::vector<uint8_t> s) { back.emplace_back(now + kDelay, std::move(s)); };
    while (serves && !waiting.empty() && credit >= kSampleSize) {
      credit -= kSampleSize;
      last = waiting.front();
      if (t.cuts) last.resize(64);
      send(last);
      waiting.pop_front();
    }
    if (t.from_memory && !last.empty()) {
      for (int i = 0; i < 50; i++) send(last);
    }
    if (t.forges) {
      std::vector<uint8_t> s(kSampleSize);
      store_le32(s.data(), static_cast<uint32_t>(rng.below(100)));
      send(s);
    }
    while (!back.empty() && back.front().first <= now) {
      m.on_echo(now, back.front().second);
      back.pop_front();
    }
  }
  m.on_background(t.reported_users * 10);
  return m.result();
}

constexpr size_t kMeasurers = 5;
using Results = std::vector<std::optional<Bandwidth>>;
// What all five make of it; colluders report what they like.
Results measure_all(const Target& t) {
  Results results;
  for (size_t i = 0; i < kMeasurers; i++) results.push_back(measure(t, i, 1));
  return results;
}
double value_of(const Target& t, size_t colluders = 0, uint64_t their_word = UINT64_MAX / 2, Results results = {}) {
  if (results.empty()) results = measure_all(t);
  for (size_t i = 0; i < colluders; i++) results[i] = Bandwidth{their_word};
  return static_cast<double>(settle_bandwidth({t.claim}, results)->bytes_per_second) / static_cast<double>(kCapacity);
}

TEST(BandwidthCheck, AnHonestTargetIsBelieved) {
  EXPECT_GE(value_of({}), 0.95);
  EXPECT_LE(value_of({}), 1.0);
  EXPECT_NEAR(value_of({.claim = kCapacity / 4}), 0.25, 0.01) << "never more than it claims";
}

TEST(BandwidthCheck, ABusyHonestTargetLosesLittleByIt) {
  EXPECT_GE(value_of({.users = kCapacity / 4, .reported_users = kCapacity / 4}), 0.95);
  EXPECT_GE(value_of({.users = kCapacity / 2, .reported_users = kCapacity / 2}), 0.6) << "of half of it a third of the rest counts";
}

TEST(BandwidthCheck, LiarsGainAThirdAtMost) {
  constexpr double kMost = 4.0 / 3 + 0.01;
  const uint64_t much = 5 * kCapacity;
  const Target liars[] = {
      {.claim = much},
      {.claim = much, .reported_users = much},
      {.claim = much, .reported_users = UINT64_MAX / 100},
      {.claim = much, .forges = true},
      {.claim = much, .from_memory = true},
      {.claim = much, .reported_users = much, .from_memory = true},
      {.claim = much, .cuts = true},
      {.claim = much, .reported_users = much, .serves = {2}},
      {.claim = much, .reported_users = much, .serves = {2, 3, 4}},
      {.claim = much, .users = kCapacity / 2, .reported_users = much},
  };
  double best = 0;
  for (size_t i = 0; i < std::size(liars); i++) {
    const auto honest = measure_all(liars[i]);
    for (const size_t colluders : {0, 1, 2}) {
      const double gain = value_of(liars[i], colluders, UINT64_MAX / 2, honest);
      EXPECT_LE(gain, kMost) << "liar " << i << " with " << colluders << " measurers of his";
      best = std::max(best, gain);
    }
  }
  EXPECT_GE(best, 1.3) << "the bound is reached: the liars try";
}

TEST(BandwidthCheck, ThreeOfFiveMeasurersWouldBeEnough) {
  EXPECT_NEAR(value_of({.claim = 5 * kCapacity}, 3), 5, 0.01) << "what the bound rests on";
}

TEST(BandwidthCheck, TwoWhoLieAgainstATargetDoNotSpoilIt) { EXPECT_GE(value_of({}, 2, 0), 0.95); }

TEST(BandwidthCheck, WhoForgesHasNothing) {
  EXPECT_EQ(value_of({.claim = kCapacity, .forges = true}), 0);
  EXPECT_EQ(value_of({.claim = kCapacity, .cuts = true}), 0);
}

TEST(BandwidthCheck, FewerThanThreeResultsSayNothing) {
  const auto settled = [](std::initializer_list<uint64_t> values) {
    Results r;
    for (const uint64_t v : values) r.emplace_back(Bandwidth{v});
    return settle_bandwidth({100}, r);
  };
  EXPECT_FALSE(settled({100, 100}));
  EXPECT_EQ(settled({10, 50, 90})->bytes_per_second, 50u);
  EXPECT_EQ(settled({10, 50, 90, 95})->bytes_per_second, 50u);
  EXPECT_EQ(settled({1000, 1000, 1000})->bytes_per_second, 100u);
}

TEST(BandwidthCheck, WhoRefusesMostHasNotBeenMeasured) {
  const std::optional<Bandwidth> no, much = Bandwidth{1000};
  EXPECT_FALSE(settle_bandwidth({100}, {no, no, much, much})) << "and so one's own two against two honest ones are not enough";
  EXPECT_FALSE(settle_bandwidth({100}, {no, no, no}));
  EXPECT_EQ(settle_bandwidth({100}, {no, much, much})->bytes_per_second, 100u);
}

TEST(BandwidthCheck, AMeasurementIsBoundedAndEnds) {
  SeededRng rng(1);
  Mono now(1h);
  BandwidthMeasurer m({UINT64_MAX}, now, rng);
  size_t sent = 0;
  while (!m.is_over(now)) {
    ASSERT_GT(m.next_deadline(), kLongAgo);
    now = std::max(now + 1ms, std::min(m.next_deadline(), now + 10ms));
    std::vector<std::vector<uint8_t>> samples;
    m.on_deadline(now, samples);
    EXPECT_LE(samples.size(), BandwidthMeasurer::kAtOnce);
    sent += samples.size() * kSampleSize;
  }
  EXPECT_LE(sent, kMostMeasured.bytes_per_second * 10);
  EXPECT_GE(sent, kMostMeasured.bytes_per_second * 10 * 98 / 100);
}

// ---- being measured

TEST(BandwidthCheck, ATargetAnswersEachMeasurerTwiceAWeekAndOneAtATime) {
  Mono now(1h);
  const Bandwidth claim{1'000'000};
  const auto who = [](uint8_t n) { return PeerId{{n}}; };
  BandwidthTarget t;
  using Answer = BandwidthTarget::Answer;
  const auto ask = [&](uint8_t n, uint64_t rate = 1'000'000, uint32_t week = 7) { return t.on_ask(now, {who(n), 7, {rate}}, week, claim); };
  EXPECT_EQ(ask(1, 2'000'000), Answer::no) << "more than it claims";
  EXPECT_EQ(ask(1, 100), Answer::no) << "too little to say something";
  EXPECT_EQ(ask(1, 1'000'000, 8), Answer::no) << "of another week";
  EXPECT_EQ(ask(1), Answer::yes);
  EXPECT_EQ(ask(2), Answer::later);
  uint64_t echoed = 0;
  for (int i = 0; i < 20'000; i++) echoed += t.on_sample(now + 5s, who(1), kSampleSize) ? kSampleSize : 0;
  EXPECT_LE(echoed, 10'000'000u) << "no more than was agreed";
  EXPECT_GE(echoed, 9'990'000u);
  EXPECT_FALSE(t.on_sample(now + 5s, who(2), 1));
  now += 1min;
  EXPECT_FALSE(t.on_sample(now, who(1), 1));
  for (size_t n = 1; n < BandwidthTarget::kAsksOfOne; n++) {
    EXPECT_EQ(ask(1), Answer::yes) << "its session may have broken";
    now += 1min;
  }
  EXPECT_EQ(ask(1), Answer::no) << "that is enough";
  for (uint8_t n = 2; n < 60; n++) {
    EXPECT_EQ(ask(n), n < 2 + BandwidthTarget::kMostAsks - BandwidthTarget::kAsksOfOne ? Answer::yes : Answer::no) << "so many in a week: " << int{n};
    now += 1min;
  }
}

}  // namespace
}  // namespace macrovpn::discovery
