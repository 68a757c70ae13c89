#include "core/routing/liveness.h"

#include <gtest/gtest.h>

#include "core/routing/build_timeout.h"

namespace macrovpn::routing {
namespace {

using Verdict = Liveness::Verdict;
constexpr Mono kStart{1000s};

TEST(Liveness, ASilentCircuitIsGivenUpInUnderThreeSeconds) {
  SeededRng rng(1);
  Liveness l;
  l.started(kStart, rng);
  l.sent(kStart);
  Mono now = kStart;
  int pings = 0;
  for (;;) {
    now = l.next_check();
    const Verdict v = l.check(now, rng);
    if (v == Verdict::dead) break;
    pings += v == Verdict::ping;
    l.pinged(now);
  }
  EXPECT_EQ(pings, Liveness::kProbes);
  EXPECT_LT(now - kStart, 3s);
}

TEST(Liveness, AnAnsweredPingSettlesIt) {
  SeededRng rng(1);
  Liveness l;
  l.started(kStart, rng);
  l.sent(kStart);
  const Mono asked = l.next_check();
  EXPECT_EQ(l.check(asked, rng), Verdict::ping);
  l.pong(asked + 100ms, 100ms);
  EXPECT_GE(l.next_check(), kStart + 20s);  // nothing but the keepalive is left
}

TEST(Liveness, PingsEvery20To26SecondsWhileFlowsAreOpenAndThenStops) {
  SeededRng rng(1);
  Liveness l;
  l.started(kStart, rng);
  l.sent(kStart);
  l.received(kStart);
  Mono last = kStart;
  int pings = 0;
  while (l.next_check() < kStart + 20min) {
    const Mono now = l.next_check();
    if (l.check(now, rng) != Verdict::ping) continue;
    EXPECT_GE(now - last, 20s);
    EXPECT_LE(now - last, 26s);
    last = now;
    pings++;
    l.pinged(now);
    l.pong(now, 50ms);
  }
  EXPECT_LE(last - kStart, Liveness::kFlowOpen);
  EXPECT_GE(pings, 11);
}

TEST(Liveness, IsPatientOnALongPath) {
  SeededRng rng(1);
  Liveness l;
  l.started(kStart, rng);
  l.pong(kStart, 2s);
  l.sent(kStart);
  EXPECT_EQ(l.check(kStart + 3s, rng), Verdict::nothing);
  EXPECT_EQ(l.check(kStart + 4s, rng), Verdict::ping);
}

TEST(BuildTimeout, FourBuildsThatFailBehindTheirGuardsCountAsOne) {
  BuildTimeout t;
  for (int i = 0; i < 3; i++) t.failed_behind_guard();
  EXPECT_EQ(t.current(), BuildTimeout::kFirst);
  t.failed_behind_guard();
  EXPECT_EQ(t.current(), BuildTimeout::kFirst * 2);
  t.succeeded();
  for (int i = 0; i < 3; i++) t.failed_behind_guard();
  EXPECT_EQ(t.current(), BuildTimeout::kFirst) << "in a row";
}

TEST(BuildTimeout, LearnsFromSuccessesAndBacksOff) {
  BuildTimeout t;
  EXPECT_EQ(t.current(), BuildTimeout::kFirst);
  for (int i = 0; i < 10; i++) t.succeeded(200ms);
  EXPECT_EQ(t.current(), 600ms);
  t.failed();
  EXPECT_EQ(t.current(), 1200ms);
  for (int i = 0; i < 10; i++) t.failed();
  EXPECT_LE(t.current(), BuildTimeout::kMost);
  t.succeeded(1ms);
  for (int i = 0; i < 40; i++) t.succeeded(1ms);
  EXPECT_EQ(t.current(), BuildTimeout::kLeast);
}

}  // namespace
}  // namespace macrovpn::routing
