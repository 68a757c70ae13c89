// Relays behind NATs in whole networks: reached through their introducers at once, directly a moment later.
#include <gtest/gtest.h>

#include "core/node/home_net_test.h"

namespace macrovpn::node {
namespace {

TEST(Introduction, ARelayBehindANatKeepsItsIntroducersInformed) {
  HomeNet net(Nat::cone);
  EXPECT_EQ(net.introductions("e0").registered_at(), 2u);
  EXPECT_EQ(net.introductions("r2").registrations(), 1u);
  ASSERT_TRUE(net.introductions("e0").seen_at());
  EXPECT_EQ(net.introductions("e0").seen_at()->address, net.hosts["e0"]->address);
  std::vector<Mono> said;
  net.sends = [&](const TestWorld::Host& h, const Datagram& d) {
    if (h.name == "e0" && d.remote.address == net.hosts["r2"]->address) said.push_back(net.now.mono);
  };
  net.run_for(600s);
  EXPECT_EQ(net.introductions("r3").registrations(), 1u);
  for (size_t i = 1; i < said.size(); i++) EXPECT_LE(said[i] - said[i - 1], 26s) << "a NAT forgets after 30 s";
  // Its power goes out: the introducers forget it.
  net.hosts["e0"]->dead = true;
  net.run_for(kRegistrationLife + 20s);
  EXPECT_EQ(net.introductions("r2").registrations(), 0u);
  net.check_all();
}

TEST(Introduction, ACircuitThroughANatIsThereAtOnceAndStraightAfterARekey) {
  for (const Nat nat : {Nat::cone, Nat::hard}) {
    HomeNet net(nat);
    const Mono began = net.now.mono;
    const Circuit* c = net.connect(net.client(), kTun);
    ASSERT_NE(c, nullptr);
    EXPECT_LT(net.now.mono - began, 1s);
    EXPECT_TRUE(net.carries());
    EXPECT_EQ(net.relay("r1").counters().spliced, 1u);
    net.run_for(2s);
    EXPECT_EQ(net.introductions("r1").counters().met, 1u) << "the guest came to who wanted it";
    const uint64_t through_introducers = net.relay("r2").counters().forwarded_bytes + net.relay("r3").counters().forwarded_bytes;
    EXPECT_GT(through_introducers, 0u);
    for (int i = 0; i < 26; i++) {
      net.run_for(5s);
      EXPECT_TRUE(net.carries()) << i;
    }
    EXPECT_EQ(net.relay("r1").counters().straightened, 1u);
    const uint64_t then = net.relay("r2").counters().forwarded_bytes + net.relay("r3").counters().forwarded_bytes;
    EXPECT_TRUE(net.carries());
    EXPECT_EQ(net.relay("r2").counters().forwarded_bytes + net.relay("r3").counters().forwarded_bytes, then) << "it still goes through";
    net.check_all();
  }
}

TEST(Introduction, TwoConesMeetAndTwoHardNatsStaySpliced) {
  for (const auto& [middle, exit, direct] : {std::tuple{Nat::cone, Nat::cone, true}, {Nat::hard, Nat::hard, false}}) {
    HomeNet net(exit, middle);
    ASSERT_NE(net.connect(net.client(), kTun), nullptr);
    net.run_for(7s);
    EXPECT_EQ(net.introductions("r1").counters().met, direct ? 1u : 0u);
    EXPECT_EQ(net.introductions("r1").counters().punch_failed, direct ? 0u : 1u);
    for (int i = 0; i < 10; i++) {
      EXPECT_TRUE(net.carries());
      net.run_for(10s);
    }
    net.check_all();
  }
}

TEST(Introduction, WithoutARegistrationNothingIsSentToTheGuest) {
  HomeNet net(Nat::cone);
  net.command(*net.hosts["e0"], [&](Node& n, Effects& fx) { n.set_introducers(net.now, {}, {}, fx); });
  net.run_for(kRegistrationLife + 120s);
  size_t sent = 0;
  net.sends = [&](const TestWorld::Host& h, const Datagram& d) { sent += h.config.relay && d.remote.address == net.hosts["e0"]->address; };
  EXPECT_EQ(net.connect(net.client(), kTun), nullptr);
  EXPECT_EQ(sent, 0u);
  net.check_all();
}

TEST(Introduction, AnIntroducersEndEndsTheSplicesAndTheCircuitComesAgainThroughTheOther) {
  HomeNet net(Nat::hard, Nat::hard);  // which stays spliced
  ASSERT_NE(net.connect(net.client(), kTun), nullptr);
  const bool by_r2 = net.relay("r2").counters().extended > 0;
  net.hosts[by_r2 ? "r2" : "r3"]->dead = true;
  net.run_until([&] { return net.relay(by_r2 ? "r3" : "r2").counters().extended > 0; }, 60s);
  bool carried = false;
  for (int i = 0; i < 30 && !carried; i++) {
    carried = net.carries();
    net.run_for(2s);
  }
  EXPECT_TRUE(carried);
  net.check_all();
}

TEST(Introduction, ARelayThatIsNoIntroducerTakesNoGuest) {
  HomeNet net(Nat::cone);
  net.hosts["e0"]->introducers = {"r0"};
  net.register_at("e0");
  net.run_for(5s);
  EXPECT_EQ(net.introductions("r0").registrations(), 0u);
  EXPECT_GT(net.introductions("r0").counters().refused, 0u);
}

// What hostile relays say: e0 is honest and in the open, r0 introduces, r1 holds e0's place in the directory as it likes.
struct LyingGuest : HomeNet {
  LyingGuest() : HomeNet(Nat::cone) {}
  // r1's session with r2 as an asker, up.
  PeerRef session_at_introducer() {
    for (const PeerRef p : hosts["r2"]->node->tunnels().peers()) {
      const auto info = hosts["r2"]->node->tunnels().info(p);
      if (info && info->route.endpoint.address == hosts["e0"]->address) return p;
    }
    return {};
  }
};

TEST(IntroductionHostile, WhoRoamsWithoutReadingTheCookieMovesNothing) {
  LyingGuest net;
  const auto* before = net.introductions("r2").registered(net.now, net.id("e0"));
  ASSERT_NE(before, nullptr);
  const Endpoint proved = before->at;
  // The guest's own keepalives, as if they came from somebody else's address: a session roams there.
  const Endpoint victim{net.hosts["e0"]->address, 7777};
  net.drop = [&](const TestWorld::Flight& f) {
    if (f.from != nullptr && f.from->name == "e0" && f.to->name == "r2" && f.source) const_cast<TestWorld::Flight&>(f).source = victim;
    return false;
  };
  std::map<Endpoint, size_t> sent;
  net.sends = [&](const TestWorld::Host& h, const Datagram& d) {
    if (h.name == "r2") sent[d.remote] = std::max(sent[d.remote], d.packet.size());
  };
  net.run_for(60s);
  ASSERT_EQ(net.hosts["r2"]->node->tunnels().info(net.session_at_introducer())->route.endpoint, victim) << "or the test shows nothing";
  const auto* after = net.introductions("r2").registered(net.now, net.id("e0"));
  EXPECT_TRUE(after == nullptr || after->at == proved);
  ASSERT_NE(net.connect(net.client(), kTun), nullptr);
  EXPECT_LE(sent[victim], 160u) << "no leg goes there";
}

TEST(IntroductionHostile, ARegistrationFromAnAddressThatTheDirectoryDoesNotGiveIsRefused) {
  HomeNet net(Nat::cone);
  // It moves, and its descriptor still says the old place.
  net.move(*net.hosts["e0"], "203.0.113.200");
  net.hosts["e0"]->mapped.clear();
  const uint64_t before = net.introductions("r2").counters().refused;
  net.run_for(kRegistrationLife + 30s);
  EXPECT_GT(net.introductions("r2").counters().refused, before);
  EXPECT_EQ(net.introductions("r2").registered(net.now, net.id("e0")), nullptr);
  // Published anew, it is taken again.
  net.publish();
  net.run_for(60s);
}

TEST(IntroductionHostile, ARegistrationAtTheSocketOfCallsIsNone) {
  HomeNet net(Nat::cone);
  ASSERT_NE(net.introductions("r2").registered(net.now, net.id("e0")), nullptr);
  net.drop = [&](const TestWorld::Flight& f) {
    if (f.from != nullptr && f.from->name == "e0" && f.to->name == "r2") const_cast<TestWorld::Flight&>(f).socket = kEgressSocket;
    return false;
  };
  net.hosts["e0"]->nat = Nat::none;  // it would hear the cookie from there
  net.run_for(kRegistrationLife + 30s);
  EXPECT_EQ(net.introductions("r2").registered(net.now, net.id("e0")), nullptr);
  EXPECT_NE(net.introductions("r3").registered(net.now, net.id("e0")), nullptr);
}

TEST(IntroductionHostile, ASpliceIsCountedAndMakesNoCircuitShorter) {
  HomeNet net(Nat::hard);
  ASSERT_NE(net.connect(net.client(), kTun), nullptr);
  // r1 says that it stands deep already: its introducer does not go on.
  const auto& counters = net.relay("r2").counters();
  const uint64_t refused = counters.refused + net.relay("r3").counters().refused;
  Stranger stranger(5);
  const auto call = stranger.call(net.now, *net.hosts["e0"]);
  const auto element = routing::write_element(call.initiation.message, {77}, {});
  for (const PeerRef link : net.hosts["r1"]->node->tunnels().peers()) {
    const auto info = net.hosts["r1"]->node->tunnels().info(link);
    if (info->kind != encryption::PeerKind::hop || !info->established) continue;
    net.send_frame(*net.hosts["r1"], link, routing::write_splice({3, net.id("e0"), element}));
  }
  net.run_for(1s);
  EXPECT_GT(counters.refused + net.relay("r3").counters().refused, refused);
}

TEST(IntroductionHostile, AnIntroducerSendsNobodyToAnAddressThatIsNotTheOthers) {
  HomeNet net(Nat::cone);
  const Endpoint victim = *Endpoint::parse("203.0.113.99:99");
  size_t sent = 0;
  net.sends = [&](const TestWorld::Host&, const Datagram& d) { sent += d.remote == victim; };
  const auto lie = routing::write_introduce({net.id("r1"), {1, 2, 3}, victim});
  for (const PeerRef p : net.hosts["r2"]->node->tunnels().peers()) net.send_frame(*net.hosts["r2"], p, lie);
  const uint64_t refused = net.introductions("e0").counters().refused;
  net.run_for(6s);
  EXPECT_EQ(sent, 0u);
  EXPECT_GT(net.introductions("e0").counters().refused, refused);
  // The same with r1's address is followed, or the test would show nothing.
  size_t probes = 0;
  net.sends = [&](const TestWorld::Host& h, const Datagram& d) { probes += h.name == "e0" && d.remote.address == net.hosts["r1"]->address; };
  const auto truth = routing::write_introduce({net.id("r1"), {1, 2, 4}, {net.hosts["r1"]->address, 4711}});
  for (const PeerRef p : net.hosts["r2"]->node->tunnels().peers()) net.send_frame(*net.hosts["r2"], p, truth);
  net.run_for(6s);
  EXPECT_GT(probes, 0u);
  EXPECT_LE(probes, discovery::kMaxProbes);
}

}  // namespace
}  // namespace macrovpn::node
