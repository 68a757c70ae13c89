#include "sim/load/call_quality.h"

#include <gtest/gtest.h>

namespace macrovpn::sim {
namespace {

using std::chrono::milliseconds;

// G.107: the default R of 93.2 is a score of 4.41; R 80, 70, 60, 50 are 4.03, 3.60, 3.10, 2.58 (G.107 annex B).
TEST(CallQuality, IsThatOfTheEModel) {
  EXPECT_EQ(mean_opinion(Duration(0), 0, 1000), 441u);
  EXPECT_EQ(mean_opinion(milliseconds(100), 0, 1000), 436u);
  // Where the delay takes R to 80 and to 70: 0.024 d + 0.11 (d − 177.3).
  EXPECT_NEAR(mean_opinion(milliseconds(244), 0, 1000), 403, 1);
  EXPECT_NEAR(mean_opinion(milliseconds(319), 0, 1000), 360, 1);
  // Loss p takes 95 p / (p + 4.3): 0.7 of a hundred take 13.3 of R, to 79.9.
  EXPECT_NEAR(mean_opinion(Duration(0), 70, 10'000), 402, 1);
}

TEST(CallQuality, IsNeverLessThanOne) {
  EXPECT_EQ(mean_opinion(std::chrono::seconds(10), 1000, 1000), 100u);
  EXPECT_EQ(mean_opinion(Duration(0), 1500, 1000), 100u);
  EXPECT_EQ(mean_opinion(milliseconds(50), 0, 0), mean_opinion(milliseconds(50), 0, 7));
}

}  // namespace
}  // namespace macrovpn::sim
