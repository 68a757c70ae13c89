#include "sim/net/firewall.h"

#include <gtest/gtest.h>

namespace macrovpn::sim {
namespace {

constexpr Mono kStart{100s};

Endpoint at(std::string_view text) {
  return *Endpoint::parse(text);
}
const Endpoint kInside = at("10.1.0.1:5000"), kFar = at("10.2.0.1:51820"), kWeb = at("10.2.0.1:443"), kDns = at("10.3.0.1:53");

TEST(Firewall, AnOpenOneLetsEverythingThrough) {
  Firewall wall({});
  EXPECT_EQ(wall.outward(kStart, kInside, kFar), Passage::passes);
  EXPECT_EQ(wall.inward(kStart, kDns, kInside), Passage::passes);
  EXPECT_EQ(wall.flows(), 0u);
}

TEST(Firewall, OneWithoutUdpLetsNothingThrough) {
  Firewall wall({.rule = FirewallRule::no_udp});
  EXPECT_EQ(wall.outward(kStart, kInside, kWeb), Passage::refused);
  EXPECT_EQ(wall.inward(kStart, kWeb, kInside), Passage::refused);
  EXPECT_EQ(wall.counters().refused_out, 1u);
  EXPECT_EQ(wall.counters().refused_in, 1u);
}

TEST(Firewall, OneForWebAndNamesLetsOutTwoPortsAndTheirAnswers) {
  Firewall wall({.rule = FirewallRule::web_and_dns});
  EXPECT_EQ(wall.outward(kStart, kInside, kFar), Passage::refused);
  EXPECT_EQ(wall.inward(kStart, kWeb, kInside), Passage::refused);
  EXPECT_EQ(wall.outward(kStart, kInside, kWeb), Passage::passes);
  EXPECT_EQ(wall.outward(kStart, kInside, kDns), Passage::passes);
  EXPECT_EQ(wall.inward(kStart, kWeb, kInside), Passage::passes);
  EXPECT_EQ(wall.inward(kStart, kFar, kInside), Passage::refused);
}

TEST(Firewall, AnswersComeInWhileTheirFlowLives) {
  Firewall wall({.rule = FirewallRule::outbound_first, .timeout = 30s});
  EXPECT_EQ(wall.inward(kStart, kFar, kInside), Passage::refused);
  EXPECT_EQ(wall.outward(kStart, kInside, kFar), Passage::passes);
  EXPECT_EQ(wall.inward(kStart + 29s, kFar, kInside), Passage::passes);
  EXPECT_EQ(wall.inward(kStart + 29s, kFar, {kInside.address, 5001}), Passage::refused);
  EXPECT_EQ(wall.inward(kStart + 30s, kFar, kInside), Passage::refused);
}

TEST(Firewall, TheFlowUsedLongestAgoMakesRoom) {
  Firewall wall({.rule = FirewallRule::outbound_first, .most_flows = 2});
  for (const Endpoint& to : {kFar, kWeb, kFar, kDns}) wall.outward(kStart, kInside, to);
  EXPECT_EQ(wall.flows(), 2u);
  EXPECT_EQ(wall.inward(kStart, kFar, kInside), Passage::passes);
  EXPECT_EQ(wall.inward(kStart, kWeb, kInside), Passage::refused);
}

TEST(Firewall, ARebootForgetsItsFlows) {
  Firewall wall({.rule = FirewallRule::outbound_first});
  wall.outward(kStart, kInside, kFar);
  wall.reboot();
  EXPECT_EQ(wall.inward(kStart, kFar, kInside), Passage::refused);
}

}  // namespace
}  // namespace macrovpn::sim
