#include "core/routing/path_mtu.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

namespace macrovpn::routing {
namespace {

using Verdict = PathMtu::Verdict;
constexpr uint16_t kMost = 1376;

// A path that answers what it carries, after a round trip.
struct Path {
  SeededRng rng{1};
  PathMtu mtu;
  Mono now{1000s};
  Duration round_trip = 60ms;
  std::function<bool(size_t size)> carries = [](size_t) { return true; };
  struct Ping {
    size_t size;
    Mono sent;
  };
  std::multimap<Mono, Ping> answers;
  std::vector<std::vector<uint16_t>> asked;  // round by round
  int broken = 0;

  explicit Path(uint16_t known = kMost) : mtu(kMost, known) {}

  void send(size_t size) {
    if (carries(size == 0 ? 100 : size)) answers.emplace(now + round_trip, Ping{size, now});
  }
  void run_until(Mono end) {
    for (;;) {
      Mono next = mtu.next_check();
      if (!answers.empty()) next = std::min(next, answers.begin()->first);
      if (next > end) break;
      now = std::max(now, next);
      while (!answers.empty() && answers.begin()->first <= now) {
        const Ping p = answers.begin()->second;
        answers.erase(answers.begin());
        mtu.pong(now, p.size, p.sent);
      }
      std::vector<uint16_t> ask;
      const Verdict v = mtu.check(now, rng, ask);
      broken += v == Verdict::broken;
      if (v != Verdict::probe) continue;
      asked.push_back(ask);
      send(0);
      for (const uint16_t size : ask) send(size);
    }
    now = end;
  }
  void run_for(Duration d) { run_until(now + d); }
  void start() {
    mtu.started(now);
    run_for(5s);
  }
  void up_to(size_t most) {
    carries = [most](size_t size) { return size <= most; };
  }
};

TEST(PathMtu, AsksOnceForTheWholeSizeAndThenNoMore) {
  Path p;
  p.start();
  p.run_for(1h);
  ASSERT_EQ(p.asked.size(), 1u);
  EXPECT_EQ(p.asked[0], std::vector<uint16_t>{kMost});
  EXPECT_EQ(p.mtu.mtu(), kMost);
  EXPECT_EQ(p.mtu.next_check(), kNever);
}

TEST(PathMtu, FindsTheLargestStepThatPassesWithinASecond) {
  for (size_t size = PathMtu::kLeast; size <= kMost; size += 16) {
    Path p;
    p.up_to(size);
    p.mtu.started(p.now);
    p.run_for(1s);
    uint16_t want = size == kMost ? kMost : 0;
    for (const uint16_t step : PathMtu::kLadder) {
      if (step <= size) want = std::max(want, step);
    }
    EXPECT_EQ(p.mtu.mtu(), want) << size;
    EXPECT_LE(p.asked.size(), 3u) << size;
    EXPECT_EQ(p.broken, 0);
  }
}

TEST(PathMtu, SaysThatACircuitIsBrokenThatCarriesNothingButSmallPings) {
  Path p;
  p.up_to(PathMtu::kLeast - 1);
  p.mtu.started(p.now);
  p.run_for(1s);
  EXPECT_EQ(p.broken, 1);
  EXPECT_EQ(p.mtu.mtu(), PathMtu::kLeast);
}

TEST(PathMtu, SilenceAfterAHoleAppearedFindsIt) {
  Path p;
  p.start();
  p.up_to(1300);
  p.mtu.silent(p.now);
  p.run_for(700ms);
  EXPECT_EQ(p.mtu.mtu(), 1280);
}

// A large answer vanishes, and what asked for it was acknowledged: nothing is silent.
TEST(PathMtu, AHoleIsFoundWithinSecondsWhileLargePacketsPassAndLaterBesideSmallOnes) {
  for (const size_t bytes : {1376u, 577u, 576u}) {
    Path p;
    p.start();
    const auto carry_for = [&](Duration d) {
      for (const Mono end = p.now + d; p.now < end;) {
        p.mtu.carried(bytes);
        p.run_for(100ms);
      }
    };
    carry_for(2min);
    p.up_to(1100);
    const bool large = bytes > PathMtu::kLeast;
    carry_for(6s);
    EXPECT_TRUE(!large || p.mtu.mtu() == 1088) << bytes;
    carry_for(PathMtu::kMostDoubt);
    EXPECT_EQ(p.mtu.mtu(), 1088) << bytes;
  }
}

TEST(PathMtu, TheFirstPacketAfterARestAsksAtOnce) {
  Path p;
  p.start();
  p.run_for(1min);
  p.up_to(1100);
  p.mtu.carried(60);
  p.run_for(700ms);
  EXPECT_EQ(p.mtu.mtu(), 1088);
}

// The first link is known to be narrow: small packets do not wait for a large one to be lost, and an idle circuit stays so.
TEST(PathMtu, ASuspicionIsLookedIntoAsSoonAsAnythingPasses) {
  for (const bool used_before : {true, false}) {
    Path p;
    p.start();
    p.run_for(1min);
    p.mtu.carried(60);
    p.run_for(1500ms);
    p.up_to(1100);
    const size_t asked = p.asked.size();
    if (used_before) p.mtu.carried(60);
    p.mtu.suspect(p.now);
    p.run_for(700ms);
    EXPECT_EQ(p.asked.size() > asked, used_before);
    if (!used_before) p.mtu.carried(60);
    p.run_for(700ms);
    EXPECT_EQ(p.mtu.mtu(), 1088) << used_before;
  }
}

TEST(PathMtu, NeitherAnOutageNorALongerWayLooksLikeASmallSize) {
  Path p;
  p.start();
  p.carries = [](size_t) { return false; };
  p.mtu.silent(p.now);
  p.run_for(20s);
  EXPECT_EQ(p.mtu.mtu(), kMost);
  p.carries = [](size_t) { return true; };
  p.round_trip = 2500ms;  // a queue
  p.run_for(10s);
  EXPECT_EQ(p.mtu.mtu(), kMost);
  EXPECT_EQ(p.broken, 0);
}

TEST(PathMtu, TwoLossesAreNoHole) {
  Path p;
  p.start();
  int lost = 0;
  p.carries = [&](size_t size) { return size < kMost || ++lost > 2; };
  p.mtu.silent(p.now);
  p.run_for(5s);
  EXPECT_EQ(lost, 3);
  EXPECT_EQ(p.mtu.mtu(), kMost);
}

TEST(PathMtu, AnAnswerThatComesTooLateTakesAShrinkingBack) {
  Path p;
  p.start();
  const auto answer = [&](size_t size, Mono sent) { p.mtu.pong(p.now, size, sent); };
  p.mtu.silent(p.now);
  std::vector<uint16_t> ask;
  p.now = p.mtu.next_check();
  const Mono first = p.now;
  for (int round = 0; round < PathMtu::kRounds; round++) {
    ASSERT_EQ(p.mtu.check(p.now, p.rng, ask), Verdict::probe);
    const Mono sent = p.now;
    p.now += 60ms;
    answer(0, sent);
    if (round > 0) answer(1280, sent);
    p.now = p.mtu.next_check();
  }
  ASSERT_EQ(p.mtu.check(p.now, p.rng, ask), Verdict::changed);
  EXPECT_EQ(p.mtu.mtu(), 1280);
  answer(kMost, first);
  EXPECT_EQ(p.mtu.check(p.mtu.next_check(), p.rng, ask), Verdict::changed);
  EXPECT_EQ(p.mtu.mtu(), kMost);
}

TEST(PathMtu, GrowsBackWhenThePathDoesButOnlyWhileItIsUsed) {
  Path p;
  p.up_to(1200);
  p.start();
  ASSERT_EQ(p.mtu.mtu(), 1152);
  p.carries = [](size_t) { return true; };
  p.run_for(1h);
  EXPECT_EQ(p.mtu.mtu(), 1152);  // idle
  p.mtu.carried(1000);
  p.run_for(1s);
  EXPECT_EQ(p.mtu.mtu(), kMost);
}

TEST(PathMtu, AsksForMoreEverMoreRarely) {
  Path p;
  p.up_to(1200);
  p.start();
  std::vector<Mono> raises;
  for (int i = 0; i < 7200; i++) {
    const size_t before = p.asked.size();
    p.mtu.carried(1000);
    p.run_for(1s);
    for (size_t r = before; r < p.asked.size(); r++) {
      if (p.asked[r][0] > 1152) raises.push_back(p.now);
    }
  }
  ASSERT_GE(raises.size(), 10u);
  EXPECT_LE(raises.size(), 20u);
  EXPECT_GE(raises.back() - raises[raises.size() - 2], PathMtu::kLastRaise);
  EXPECT_EQ(p.mtu.mtu(), 1152);
}

TEST(PathMtu, WhatAnotherCircuitFoundHoldsAtOnceAndMoreIsAskedForAtOnce) {
  Path p(1280);
  p.up_to(1300);
  EXPECT_EQ(p.mtu.mtu(), 1280);
  p.start();
  EXPECT_EQ(p.mtu.mtu(), 1280);
  EXPECT_EQ(p.asked.size(), 1u);
  EXPECT_EQ(p.asked[0], (std::vector<uint16_t>{kMost, 1344, 1312, 1280}));
  Path wider(1280);
  wider.start();
  EXPECT_EQ(wider.mtu.mtu(), kMost);
}

// A slow server, a sender that nobody answers.
TEST(PathMtu, EndlessSilenceIsAskedAboutEverMoreRarely) {
  Path p;
  p.start();
  for (int i = 0; i < 600; i++) {
    p.mtu.carried(200);
    p.mtu.silent(p.now);
    p.run_for(1s);
  }
  EXPECT_LE(p.asked.size(), 45u);
}

TEST(PathMtu, AtMostOneProofInThreeSecondsOfTraffic) {
  Path p;
  p.start();
  const size_t before = p.asked.size();
  for (int i = 0; i < 6000; i++) {
    p.mtu.carried(kMost);
    p.run_for(10ms);
  }
  EXPECT_LE(p.asked.size() - before, 20u);
  EXPECT_GE(p.asked.size() - before, 12u);
}

// Whatever is lost, it ends within the bounds, and a path without loss is then found out.
TEST(PathMtu, RandomLossEndsInTheTruth) {
  for (uint64_t seed = 1; seed <= 200; seed++) {
    SeededRng rng(seed);
    Path p;
    p.start();
    const uint16_t truth = PathMtu::kLadder[rng.below(PathMtu::kLadder.size())];
    const uint64_t loss = rng.below(60);
    const size_t most = std::min(truth, kMost);
    p.carries = [&](size_t size) { return size <= most && rng.below(100) >= loss; };
    for (int i = 0; i < 300; i++) {
      p.mtu.carried(kMost);
      if (rng.below(10) == 0) p.mtu.silent(p.now);
      p.run_for(100ms);
      ASSERT_GE(p.mtu.mtu(), PathMtu::kLeast);
      ASSERT_LE(p.mtu.mtu(), kMost);
    }
    p.up_to(most);
    for (int i = 0; i < 1400; i++) {
      p.mtu.carried(kMost);
      p.run_for(1s);
    }
    EXPECT_EQ(p.mtu.mtu(), most) << "seed " << seed;
  }
}

}  // namespace
}  // namespace macrovpn::routing
