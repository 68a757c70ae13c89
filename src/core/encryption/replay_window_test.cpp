#include "core/encryption/replay_window.h"

#include <gtest/gtest.h>

#include <set>

#include "base/rng.h"

namespace macrovpn::encryption {
namespace {

// The window as one would explain it: remember everything; words begin at multiples of 64.
struct NaiveWindow {
  std::set<uint64_t> seen;
  uint64_t floor() const {
    if (seen.empty()) return 0;
    const uint64_t words = *seen.rbegin() / 64 + 1, kept = ReplayWindow::kMax / 64;
    return words > kept ? (words - kept) * 64 : 0;
  }
  bool accept(uint64_t c) { return c >= floor() && seen.insert(c).second; }
};

TEST(ReplayWindow, RejectsACounterSeenBefore) {
  ReplayWindow w(ReplayWindow::kMax);
  EXPECT_TRUE(w.accept(0));
  EXPECT_FALSE(w.accept(0));
  EXPECT_TRUE(w.accept(7));
  EXPECT_TRUE(w.accept(3));
  EXPECT_FALSE(w.accept(3));
  EXPECT_FALSE(w.accept(7));
}

TEST(ReplayWindow, AnEagerOneEqualsItsNaiveTwin) {
  for (uint64_t seed = 0; seed < 20; seed++) {
    SeededRng rng(seed);
    ReplayWindow w(ReplayWindow::kMax);
    NaiveWindow naive;
    uint64_t top = seed % 3 * 100'000;
    for (int i = 0; i < 20'000; i++) {
      uint64_t c = top - std::min(top, rng.below(12'000));
      if (rng.below(3) == 0) c = top + rng.below(4);
      if (rng.below(2'000) == 0) c = top + rng.below(20'000);
      top = std::max(top, c);
      ASSERT_EQ(w.accept(c), naive.accept(c)) << seed << " " << i << " " << c;
    }
  }
}

// A growing one may refuse more, never accept more, and forgets nothing within what it promises.
TEST(ReplayWindow, AGrowingOneNeverLetsAReplayInAndKeepsItsPromise) {
  for (uint64_t seed = 0; seed < 20; seed++) {
    SeededRng rng(seed);
    ReplayWindow w(ReplayWindow::kEagerSmall);
    NaiveWindow naive;
    uint64_t top = 0;
    for (int i = 0; i < 20'000; i++) {
      uint64_t c = top - std::min(top, rng.below(seed % 2 ? 3'000 : 900));
      if (rng.below(3) == 0) c = top + rng.below(4);
      if (rng.below(2'000) == 0) c = top + rng.below(5'000);
      const bool promised = c > top || top - c < ReplayWindow::kEagerSmall - 64;
      top = std::max(top, c);
      const bool fresh = naive.accept(c), taken = w.accept(c);
      ASSERT_LE(taken, fresh);
      if (promised) {
        ASSERT_EQ(taken, fresh) << seed << " " << i << " " << c;
      }
    }
  }
}

TEST(ReplayWindow, StartsSmallAndGrowsToItsLimit) {
  ReplayWindow w(ReplayWindow::kEagerSmall);
  EXPECT_EQ(w.capacity(), 64u);
  for (uint64_t c = 0; c < 60; c++) w.accept(c);
  EXPECT_EQ(w.capacity(), 64u);
  for (uint64_t c = 60; c < 100'000; c++) w.accept(c);
  EXPECT_EQ(w.capacity(), ReplayWindow::kEagerSmall);  // in order: no reason for more
  EXPECT_FALSE(w.accept(100'000 - 1'500));             // forgotten, so refused; but now it grows
  EXPECT_EQ(w.capacity(), 2'048u);
  for (uint64_t c = 100'000; c < 102'000; c += 2) EXPECT_TRUE(w.accept(c));
  EXPECT_TRUE(w.accept(100'501));
  EXPECT_FALSE(w.accept(100'501));
  for (int i = 0; i < 10; i++) w.accept(95'000);
  EXPECT_EQ(w.capacity(), ReplayWindow::kMax);
}

TEST(ReplayWindow, TakesAJumpOfAnySize) {
  ReplayWindow w(ReplayWindow::kMax);
  EXPECT_TRUE(w.accept(5));
  EXPECT_TRUE(w.accept(UINT64_MAX - (1 << 13) - 2));
  EXPECT_FALSE(w.accept(5));
  EXPECT_TRUE(w.accept(UINT64_MAX - (1 << 13) - 3));
  EXPECT_FALSE(w.accept(UINT64_MAX - (1 << 13) - 2));
}

}  // namespace
}  // namespace macrovpn::encryption
