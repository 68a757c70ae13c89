// The model alone, then the machinery around it.  What it finds in nodes is sim/mutants' matter.
#include <gtest/gtest.h>

#include "sim/reference/model.h"
#include "sim/reference/shrink.h"
#include "sim/reference/trial.h"

namespace macrovpn::sim {
namespace {

const Endpoint kServer = *Endpoint::parse("198.18.0.1:7000");

struct Model_ : testing::Test {
  Mono at(Duration d) const { return Mono(1000s) + d; }
  void on(Duration d, size_t device = 0) { model.turned(at(d), device, true); }
  Model::Exit exit(const char* address = "172.16.0.1", size_t relay = 8) const { return {relay, {}, 0, *IpAddress::parse(address)}; }
  void send(Duration d, uint64_t number, size_t device = 0, bool allowed = true) {
    model.sent(at(d), number, {device, kServer, allowed, false});
  }
  Wrong out(Duration d, uint64_t number, const char* address = "172.16.0.1") { return model.came_out(at(d), number, kServer, exit(address)); }
  Wrong back(Duration d, uint64_t number, size_t device = 0) { return model.came_back(at(d), number, device, kServer); }
  Model model;
  Model::Said connected{true, {}}, not_connected{false, {}};
};

TEST_F(Model_, TakesWhatIsAsItShouldBe) {
  on(0s);
  send(1s, 1);
  EXPECT_FALSE(out(1s, 1));
  EXPECT_FALSE(back(2s, 1));
  EXPECT_FALSE(model.judge(at(50s), 0, connected));
}

TEST_F(Model_, KnowsEachWayInWhichAPacketIsWrong) {
  send(0s, 1);
  EXPECT_TRUE(out(0s, 1)) << "it was off";
  on(1s);
  send(1s, 2), send(1s, 3), send(1s, 4, 0, false);
  EXPECT_TRUE(out(1s, 4)) << "it must not leave";
  EXPECT_TRUE(out(1s, 99)) << "nobody sent it";
  EXPECT_TRUE(model.came_out(at(1s), 3, *Endpoint::parse("198.18.0.2:7000"), exit())) << "another server";
  EXPECT_FALSE(out(1s, 2));
  EXPECT_TRUE(out(1s, 2)) << "twice";
  EXPECT_TRUE(back(1s, 2, 1)) << "another device's";
  EXPECT_TRUE(model.came_back(at(1s), 2, 0, *Endpoint::parse("198.18.0.2:7000"))) << "from somebody else";
  EXPECT_TRUE(model.connection_opened(0));
}

TEST_F(Model_, KnowsWhatComesLate) {
  on(0s);
  send(1s, 1), send(1s, 2);
  model.turned(at(2s), 0, false);
  EXPECT_FALSE(out(2500ms, 1)) << "it was on its way";
  EXPECT_TRUE(out(4s, 2)) << "long after it was turned off";
  EXPECT_TRUE(back(4s, 1)) << "while it is off";
}

TEST_F(Model_, KnowsWhoseAddressItIs) {
  on(0s), on(0s, 1);
  send(1s, 1), send(1s, 2, 1), send(1s, 3);
  EXPECT_FALSE(out(1s, 1));
  EXPECT_TRUE(out(1s, 2)) << "two devices speak from one address";
  EXPECT_FALSE(back(2s, 1));
  EXPECT_TRUE(out(3s, 3, "172.16.0.9")) << "its address changed for no reason";
  model.turned(at(4s), 0, false);
  on(5s);
  send(6s, 4);
  EXPECT_TRUE(out(6s, 4)) << "the address from before it was turned off";
}

TEST_F(Model_, AnAddressMayChangeWithItsExit) {
  on(0s);
  send(1s, 1), send(1s, 2);
  EXPECT_FALSE(out(1s, 1));
  EXPECT_FALSE(back(1s, 1));
  model.relay_serves(at(2s), 8, false);
  EXPECT_FALSE(out(3s, 2, "172.16.0.9"));
}

TEST_F(Model_, PromisesAnAnswerByTheDeadlineOnlyWhereThereIsAWay) {
  on(0s);
  model.asks(at(1s), 0);
  EXPECT_FALSE(model.judge(at(30s), 0, connected));
  EXPECT_TRUE(model.judge(at(32s), 0, connected));
  model.udp_blocked(at(32s), 0, true);
  EXPECT_FALSE(model.judge(at(80s), 0, not_connected));
  model.udp_blocked(at(80s), 0, false);
  EXPECT_FALSE(model.judge(at(109s), 0, not_connected));
  EXPECT_TRUE(model.judge(at(111s), 0, connected));
}

TEST_F(Model_, WantsTheTruthFromTheNode) {
  on(0s);
  EXPECT_FALSE(model.judge(at(50s), 0, not_connected)) << "for a moment it may be";
  EXPECT_TRUE(model.judge(at(56s), 0, not_connected)) << "there is a way";
  model.asks(at(57s), 0);
  model.udp_blocked(at(58s), 0, true);
  EXPECT_FALSE(model.judge(at(67s), 0, connected));
  EXPECT_TRUE(model.judge(at(69s), 0, connected)) << "there is none";
}

TEST_F(Model_, ASteadyNetworkLosesNothing) {
  on(0s);
  send(40s, 1);
  EXPECT_FALSE(out(40s, 1));
  EXPECT_FALSE(back(41s, 1));
  send(50s, 2);
  EXPECT_FALSE(model.judge(at(50500ms), 0, connected));
  EXPECT_TRUE(model.judge(at(52s), 0, connected));
  model.moved(at(52s), 0);
  EXPECT_FALSE(model.judge(at(53s), 0, connected)) << "what was on its way while it moved may be lost";
}

TEST(Shrink, LeavesWhatIsNeededAndNothingElse) {
  std::vector<int> all;
  for (int i = 0; i < 60; i++) all.push_back(i);
  size_t tries = 0;
  const auto few = shrink(all, 1000, [&](const std::vector<int>& some) {
    tries++;
    const auto has = [&](int n) { return std::find(some.begin(), some.end(), n) != some.end(); };
    return has(7) && has(31) && has(59);
  });
  EXPECT_EQ(few, (std::vector<int>{7, 31, 59}));
  EXPECT_LT(tries, 200u);
}

TEST(Shrink, EndsAfterItsTries) {
  size_t tries = 0;
  EXPECT_EQ(shrink(std::vector<int>(50, 1), 10, [&](const auto&) { return ++tries, false; }).size(), 50u);
  EXPECT_EQ(tries, 10u);
  EXPECT_TRUE(shrink(std::vector<int>{1}, 10, [](const auto&) { return true; }).empty());
}

TEST(Operations, AreTheSameForTheSameSeedAndHaveWords) {
  SeededRng a(5), b(5);
  const auto some = draw_operations(a, 500);
  EXPECT_EQ(some, draw_operations(b, 500));
  std::set<Deed> kinds;
  for (const Operation& o : some) {
    kinds.insert(o.deed);
    EXPECT_FALSE(words_of(o).empty());
  }
  EXPECT_EQ(kinds.size(), static_cast<size_t>(Deed::kCount));
}

TEST(Trial, IsTheSameTwiceAndAgreesWithTheModel) {
  SeededRng rng(1);
  const auto some = draw_operations(rng, 30);
  const TrialResult first = Trial(1).run(some), second = Trial(1).run(some);
  EXPECT_EQ(first.hash, second.hash);
  EXPECT_FALSE(first.failure) << first.failure->seen;
  EXPECT_GT(first.packets, 10u);
  EXPECT_GT(Trial(1).run({{Deed::turn_on, 0, 0, 60s}}).promised, 0u) << "what must happen was asked for";
}

// Else nothing was looked at.
TEST(Trial, SeesAClientThatIsNotServed) {
  Trial trial(1);
  std::vector<Operation> some = {{Deed::turn_on, 0, 0, 1s}};
  for (uint8_t i = 0; i < 3; i++) some.push_back({Deed::ask, i, 0, 1s});
  const TrialResult good = trial.run(some);
  EXPECT_FALSE(good.failure);
  EXPECT_GT(good.answered, 3u);
}

}  // namespace
}  // namespace macrovpn::sim
