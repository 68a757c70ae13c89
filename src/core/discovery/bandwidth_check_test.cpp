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

// What all five make of it; colluders report what they like.
std::vector<Bandwidth> measure_all(const Target& t) {
  std::vector<Bandwidth> results;
  for (size_t i = 0; i < kMeasurers; i++) results.push_back(measure(t, i, 1));
  return results;
}
double value_of(const Target& t, size_t colluders = 0, uint64_t their_word = UINT64_MAX / 2, std::vector<Bandwidth> results = {}) {
  if (results.empty()) results = measure_all(t);
  for (size_t i = 0; i < colluders; i++) results[i] = {their_word};
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
  EXPECT_FALSE(settle_bandwidth({100}, {{100}, {100}}));
  EXPECT_EQ(settle_bandwidth({100}, {{10}, {50}, {90}})->bytes_per_second, 50u);
  EXPECT_EQ(settle_bandwidth({100}, {{10}, {50}, {90}, {95}})->bytes_per_second, 50u);
  EXPECT_EQ(settle_bandwidth({100}, {{1000}, {1000}, {1000}})->bytes_per_second, 100u);
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

// ---- who measures whom

struct Draw : ::testing::Test {
  Draw() : set(network) {
    for (uint32_t i = 0; i < 60; i++) add(i, IpAddress::v4(0x14000001u + (i << 16)), 1'000'000, i % 6 + 1);
  }
  EntryPtr add(uint32_t n, const IpAddress& home, uint64_t bandwidth, uint32_t as) {
    auto e = std::make_shared<RelayEntry>();
    store_be32(e->id.bytes.data(), n * 2654435761u);
    store_be32(e->id.bytes.data() + 4, n);
    e->short_id = short_id_of(e->id);
    e->rank = n;
    e->expiry = Wall::max();
    e->home = home;
    e->descriptor.relay.bandwidth = {bandwidth};
    e->descriptor.relay.as_number = as;
    set.insert(e, changes);
    all.push_back(e);
    return e;
  }
  Network network;
  RelaySet set;
  SetChanges changes;
  std::vector<EntryPtr> all;
};

TEST_F(Draw, FiveStrangersWhoClaimAsMuch) {
  const EntryPtr neighbour = add(100, IpAddress::v4(0x14000101u), 9'000'000, 99);  // the first one's /16
  const EntryPtr slow = add(101, IpAddress::v4(0x15000101u), 100, 98);
  for (uint32_t week = 1; week < 300; week++) {
    const auto five = measurers_of(*all[0], week, set);
    ASSERT_EQ(five.size(), kMeasurers);
    for (const PeerId& id : five) {
      const auto e = set.find(short_id_of(id));
      EXPECT_TRUE(id != all[0]->id && id != neighbour->id && id != slow->id && e->descriptor.relay.as_number != 1);
    }
  }
}

TEST_F(Draw, AnotherWeekDrawsOthersAndAllAgree) {
  EXPECT_EQ(measurers_of(*all[0], 7, set), measurers_of(*all[0], 7, set));
  EXPECT_NE(measurers_of(*all[0], 7, set), measurers_of(*all[0], 8, set));
  EXPECT_NE(measurers_of(*all[0], 7, set), measurers_of(*all[1], 7, set));
}

TEST_F(Draw, ATargetAnswersItsMeasurersOnceAWeekAndOneAtATime) {
  const Now now{Mono(1h), wall_from_unix(1'800'000'000)};
  const uint32_t week = measure_week_of(now.wall);
  const auto five = measurers_of(*all[0], week, set);
  BandwidthTarget t;
  using Answer = BandwidthTarget::Answer;
  const auto ask = [&](const Now& at, const PeerId& who, uint64_t rate = 1'000'000, Bandwidth cap = {}) {
    return t.on_ask(at, {who, measure_week_of(at.wall), {rate}}, *all[0], cap, set);
  };
  EXPECT_EQ(ask(now, PeerId{{9}}), Answer::no) << "a stranger to the draw";
  EXPECT_EQ(ask(now, five[0], 2'000'000), Answer::no) << "more than it claims";
  EXPECT_EQ(ask(now, five[0], 1'000'000, {500'000}), Answer::no) << "more than its operator lends";
  EXPECT_EQ(ask(now, five[0]), Answer::yes);
  EXPECT_EQ(ask(now, five[1]), Answer::later);
  EXPECT_EQ(ask(now, five[0]), Answer::no) << "once is enough";
  uint64_t echoed = 0;
  for (int i = 0; i < 20'000; i++) echoed += t.on_sample(now.mono + 5s, five[0], kSampleSize) ? kSampleSize : 0;
  EXPECT_LE(echoed, 10'000'000u) << "no more than was agreed";
  EXPECT_GE(echoed, 9'990'000u);
  EXPECT_FALSE(t.on_sample(now.mono + 5s, five[1], 1));
  const Now later{now.mono + 1min, now.wall + 1min};
  EXPECT_FALSE(t.on_sample(later.mono, five[0], 1));
  EXPECT_EQ(ask(later, five[1]), Answer::yes);
}

}  // namespace
}  // namespace macrovpn::discovery
