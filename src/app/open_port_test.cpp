#include "app/open_port.h"

#include <gtest/gtest.h>

namespace macrovpn::app {
namespace {

const Endpoint kHere = *Endpoint::parse("203.0.113.10:51820"), kThere = *Endpoint::parse("203.0.113.11:51820");

struct OpenPortTest : ::testing::Test {
  void pass(Duration d) {
    for (const Mono end = now + d; now < end; now += 250ms) port.on_tick(now);
  }
  void called(size_t yes, size_t no) { port.on_called(now, {yes, no}); }
  Mono now{1000s};
  bool somebody = true;
  std::vector<Endpoint> asked;
  OpenPort port{[this](const Endpoint& e) {
    if (somebody) asked.push_back(e);
    return somebody;
  }};
};

TEST_F(OpenPortTest, CountsOnceOthersCameThrough) {
  pass(10s);
  EXPECT_TRUE(asked.empty());
  port.set(now, kHere);
  pass(10s);
  ASSERT_EQ(asked, std::vector{kHere});
  EXPECT_FALSE(port.endpoint());
  called(2, 1);
  EXPECT_EQ(port.endpoint(), kHere);
}

TEST_F(OpenPortTest, BehindAnotherNatItNeverDoes) {
  port.set(now, kHere);
  pass(1s);
  called(0, 3);
  EXPECT_FALSE(port.endpoint());
  pass(1h);
  for (int i = 0; i < 3; i++) called(0, 3);
  EXPECT_FALSE(port.endpoint());
  EXPECT_GE(asked.size(), 10u);
  EXPECT_LE(asked.size(), 62u);
  called(1, 1);
  EXPECT_FALSE(port.endpoint()) << "as many tried in vain";
}

TEST_F(OpenPortTest, EndsWithTheMapping) {
  port.set(now, kHere);
  pass(1s);
  called(3, 0);
  port.set(now, std::nullopt);
  EXPECT_FALSE(port.endpoint());
  port.set(now, kHere);
  EXPECT_FALSE(port.endpoint()) << "it has to be called anew";
}

TEST_F(OpenPortTest, EndsWhenTwoRoundsCameThroughNowhere) {
  port.set(now, kHere);
  pass(1s);
  called(3, 0);
  pass(OpenPort::kAgainReached + 1s);
  ASSERT_EQ(asked.size(), 2u);
  called(0, 3);
  EXPECT_TRUE(port.endpoint()) << "a moment without network is none without a port";
  pass(OpenPort::kSecondLook + 1s);
  ASSERT_EQ(asked.size(), 3u);
  called(0, 2);
  EXPECT_FALSE(port.endpoint());
}

TEST_F(OpenPortTest, IsCalledEarlierIfTheRouterFallsSilent) {
  port.set(now, kHere);
  pass(1s);
  called(3, 0);
  pass(10s);
  ASSERT_EQ(asked.size(), 1u);
  port.doubt(now);
  pass(1s);
  EXPECT_EQ(asked.size(), 2u);
  called(3, 0);
  EXPECT_TRUE(port.endpoint());
}

TEST_F(OpenPortTest, WhereNobodyTriedNothingIsConcluded) {
  port.set(now, kHere);
  pass(1s);
  called(3, 0);
  pass(OpenPort::kAgainReached + 1s);
  for (int i = 0; i < 3; i++) {
    called(0, 0);
    pass(OpenPort::kPatience + 1s);
  }
  EXPECT_TRUE(port.endpoint());
}

TEST_F(OpenPortTest, AnAnswerAboutAnEarlierMappingCountsForNothing) {
  port.set(now, kHere);
  pass(1s);
  port.set(now, kThere);
  called(3, 0);
  EXPECT_FALSE(port.endpoint());
  pass(1s);
  EXPECT_EQ(asked.back(), kThere);
}

TEST_F(OpenPortTest, IsAskedSoonAgainWhereNobodyCouldBe) {
  somebody = false;
  port.set(now, kHere);
  pass(1min);
  somebody = true;
  pass(OpenPort::kNobody + 1s);
  EXPECT_EQ(asked.size(), 1u);
}

}  // namespace
}  // namespace macrovpn::app
