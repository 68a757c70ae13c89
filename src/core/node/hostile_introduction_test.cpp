// Relays that lie to introducers, and introducers that lie: each check and each budget of introduction_side.h.
#include <gtest/gtest.h>

#include "core/node/home_net_test.h"

namespace macrovpn::node {
namespace {

using routing::ConnectFrame;
using routing::RegisterFrame;

// e0 is a guest of r2 and r3 behind a cone, r1 (in the open, or a guest too) has spoken to them as one who asks.
struct Liars : HomeNet {
  explicit Liars(Nat middle = Nat::none) : HomeNet(Nat::cone, middle, 3, Guesses::none) {
    connect(client(), kTun);
    run_for(10s);
  }
  // A session that `from` has called `to` in; nobody: there is none.
  PeerRef session(const char* from, const char* to) {
    for (const PeerRef p : hosts[from]->node->tunnels().peers()) {
      const auto info = hosts[from]->node->tunnels().info(p);
      if (info->kind == encryption::PeerKind::hop && info->established && info->route.endpoint.address == hosts[to]->address) return p;
    }
    return {};
  }
  // Which of its introducers r1 went through.
  const char* asked() { return session("r1", "r2").value != 0 ? "r2" : "r3"; }
  crypto::Mac16 mac(const char* of, const char* with, Bytes what) {
    return encryption::PairKeys::derive(network.id.bytes, hosts[of]->config.wireguard, hosts[with]->config.wireguard.pub)->trailer_mac(what);
  }
  void say_connect(const char* from, const char* to, uint8_t nonce, const char* self, const char* signer, const char* wanted = "e0") {
    const PeerRef p = session(from, to);
    ASSERT_NE(p.value, 0u);
    ConnectFrame f{id(self), id(wanted), {nonce}, {}};
    f.mac = mac(signer, to, routing::signed_connect(hosts[from]->node->tunnels().info(p)->our_key, f.wanted, f.nonce));
    send_frame(*hosts[from], p, routing::write_connect(f));
  }
  uint64_t introduced(const char* by) { return introductions(by).counters().introduced; }
  uint64_t refused(const char* by) { return introductions(by).counters().refused; }
};

TEST(HostileIntroduction, WhoConnectsHasToBeWhoItSays) {
  Liars net;
  const char* const by = net.asked();
  const uint64_t before = net.introduced(by);
  net.say_connect("r1", by, 1, "r1", "r1");
  net.run_for(1s);
  EXPECT_EQ(net.introduced(by), before + 1) << "or the test shows nothing";
  net.say_connect("r1", by, 2, "r1", "r0");  // with another's key
  net.say_connect("r1", by, 3, "r0", "r1");  // in another's name
  net.say_connect("r1", by, 4, "r1", "r1", "r0");  // for who is no guest
  net.run_for(1s);
  EXPECT_EQ(net.introduced(by), before + 1);
  EXPECT_GE(net.refused(by), 3u);
}

TEST(HostileIntroduction, WhoConnectsHasToComeFromItsAddress) {
  Liars net;
  const char* const by = net.asked();
  const uint64_t before = net.introduced(by);
  // r1 goes elsewhere with its session, and its descriptor stays.
  net.move(*net.hosts["r1"], "203.0.113.201");
  net.say_connect("r1", by, 1, "r1", "r1");
  net.run_for(1s);
  EXPECT_EQ(net.introduced(by), before);
  EXPECT_GE(net.refused(by), 1u);
}

TEST(HostileIntroduction, OneRelayIsIntroducedAtABoundedRate) {
  Liars net;
  const char* const by = net.asked();
  net.run_for(20s);
  const uint64_t before = net.introduced(by);
  for (uint8_t i = 0; i < 100; i++) net.say_connect("r1", by, i, "r1", "r1");
  net.run_for(1s);
  EXPECT_LE(net.introduced(by) - before, 18u);
  EXPECT_GE(net.introduced(by) - before, 10u);
  net.check_all();
}

TEST(HostileIntroduction, WhoRegistersHasToHaveTheKeyOfWhoItSaysItIs) {
  Liars net(Nat::cone);
  const PeerRef p = net.session("r1", "r2");
  ASSERT_NE(p.value, 0u);
  const auto say = [&](const char* signer) {
    RegisterFrame f{net.id("r1"), 0, {}};
    f.mac = net.mac(signer, "r2", routing::signed_register(net.hosts["r1"]->node->tunnels().info(p)->our_key));
    const uint64_t before = net.refused("r2");
    net.send_frame(*net.hosts["r1"], p, routing::write_register(f));
    net.run_for(100ms);
    return net.refused("r2") - before;
  };
  EXPECT_EQ(say("r1"), 0u);
  EXPECT_EQ(say("r0"), 1u);
}

TEST(HostileIntroduction, OneRelayRegistersAtABoundedRate) {
  Liars net(Nat::cone);
  net.run_for(20s);
  const PeerRef p = net.session("r1", "r2");
  RegisterFrame f{net.id("r1"), 0, {}};
  f.mac = net.mac("r1", "r2", routing::signed_register(net.hosts["r1"]->node->tunnels().info(p)->our_key));
  size_t answers = 0;
  net.sends = [&](const TestWorld::Host& h, const Datagram& d) { answers += h.name == "r2" && d.remote.address == net.hosts["r1"]->address; };
  const uint64_t before = net.refused("r2");
  for (int i = 0; i < 100; i++) net.send_frame(*net.hosts["r1"], p, routing::write_register(f));
  net.run_for(1s);
  EXPECT_GE(net.refused("r2") - before, 80u);
  EXPECT_LE(answers, 20u);
}

TEST(HostileIntroduction, WhatNobodyAskedForIsNotFollowed) {
  Liars net;
  const char* const by = net.asked();
  // r1 stands in the open and is nobody's guest: its introducer says that r0 wants it.
  const auto lie = routing::write_introduce({net.id("r0"), {1, 2, 3}, {net.hosts["r0"]->address, 4711}});
  size_t probes = 0;
  net.sends = [&](const TestWorld::Host& h, const Datagram& d) { probes += h.name == "r1" && d.remote == Endpoint{net.hosts["r0"]->address, 4711}; };
  const uint64_t before = net.refused("r1");
  for (const PeerRef p : net.hosts[by]->node->tunnels().peers()) net.send_frame(*net.hosts[by], p, lie);
  net.run_for(6s);
  EXPECT_GT(net.refused("r1"), before);
  EXPECT_EQ(probes, 0u);
}

TEST(HostileIntroduction, AnIntroducerSendsUsPunchingAtABoundedRateAndInABoundedNumber) {
  Liars net;
  const auto flood = [&](const char* by, uint8_t key) {
    for (uint8_t i = 0; i < 60; i++) {
      const auto lie = routing::write_introduce({net.id("r0"), {key, i}, {net.hosts["r0"]->address, 4711}});
      for (const PeerRef p : net.hosts[by]->node->tunnels().peers()) net.send_frame(*net.hosts[by], p, lie);
    }
  };
  net.run_for(20s);
  const auto& e0 = net.introductions("e0").counters();
  const uint64_t failed = e0.punch_failed;
  flood("r2", 1);
  net.run_for(8s);
  EXPECT_LE(e0.punch_failed - failed, 18u);
  EXPECT_GE(e0.punch_failed - failed, 10u);
  net.run_for(20s);
  const uint64_t then = e0.punch_failed;
  flood("r2", 2);
  flood("r3", 3);
  net.run_for(2s);
  net.check_all();
  net.run_for(8s);
  EXPECT_LE(e0.punch_failed - then, kMaxPunches);
}

TEST(HostileIntroduction, ARelayThatIntroducesNobodySplicesForNobodyAndOthersForTheirGuestsAlone) {
  Liars net;
  const char* const by = net.asked();
  Stranger stranger(5);
  const auto call = stranger.call(net.now, *net.hosts["r0"]);
  const auto element = routing::write_element(call.initiation.message, {77}, {});
  size_t sent = 0;
  net.sends = [&](const TestWorld::Host& h, const Datagram& d) { sent += h.name == by && d.remote.address == net.hosts["r0"]->address; };
  const PeerRef p = net.session("r1", by);
  const uint64_t refused = net.relay(by).counters().refused;
  net.send_frame(*net.hosts["r1"], p, routing::write_splice({0, net.id("r0"), element}));
  net.run_for(1s);
  EXPECT_EQ(sent, 0u) << "r0 stands in the open";
  EXPECT_GT(net.relay(by).counters().refused, refused);
}

TEST(HostileIntroduction, TheRelayBeforeUsIsNeverTheIntroducer) {
  HomeNet net(Nat::hard);
  net.hosts["r0"]->config.relay->introducer = true;
  net.restart(*net.hosts["r0"]);
  net.hosts["e0"]->introducers = {"r0"};
  net.publish();
  net.register_at("e0");
  net.run_for(5s);
  ASSERT_EQ(net.introductions("r0").registrations(), 1u) << "or the test shows nothing";
  EXPECT_EQ(net.connect(net.client(), kTun), nullptr) << "its guard would stand beside the exit";
}

}  // namespace
}  // namespace macrovpn::node
