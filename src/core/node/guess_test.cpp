// A relay behind a hard NAT and one behind a cone, in whole networks: spliced at once, straight once one of many sockets was hit.
#include <gtest/gtest.h>

#include "core/node/home_net_test.h"

namespace macrovpn::node {
namespace {

using Guesses = HomeNet::Guesses;

// All that the two send each other, and to whom else from sockets that a guess opens.
struct Watched {
  size_t probes = 0, largest = 0, elsewhere = 0, to_low_ports = 0;
  std::map<uint16_t, size_t> ports;
  void watch(HomeNet& net, const std::string& from, const std::string& to) {
    net.sends = [this, &net, from, to](const TestWorld::Host& h, const Datagram& d) {
      if (h.name != from) return;
      const bool its = d.remote.address == net.hosts[to]->address;
      elsewhere += !its && is_way_socket(d.socket);
      if (!its) return;
      probes++;
      largest = std::max(largest, d.packet.size());
      ports[d.remote.port]++;
      to_low_ports += d.remote.port < discovery::kLowestGuess;
    };
  }
};

struct Pair {
  Nat middle, exit;
  const char *easy, *hard;
};
constexpr Pair kPairs[] = {{Nat::cone, Nat::hard, "r1", "e0"}, {Nat::hard, Nat::cone, "e0", "r1"}};

TEST(Guess, BringsAHardNatAndAConeTogetherWhicheverOfThemAsks) {
  for (const Pair& p : kPairs) {
    HomeNet net(p.exit, p.middle);
    const Circuit* c = net.connect(net.client(), kTun);
    ASSERT_NE(c, nullptr);
    EXPECT_TRUE(net.carries()) << "by the splice meanwhile";
    EXPECT_EQ(net.relay("r1").counters().spliced, 1u);
    ASSERT_TRUE(net.run_until([&] { return net.introductions("r1").counters().met == 1; }, 10s));
    EXPECT_EQ(net.introductions("r1").counters().guessed, 1u);
    EXPECT_EQ(net.introductions("r1").counters().guesses, 1u);
    EXPECT_EQ(net.introductions("e0").counters().guesses, 1u);
    EXPECT_EQ(net.introductions(p.hard).sockets().size(), 1u) << "the one that won";
    EXPECT_EQ(net.hosts[p.hard]->sockets.size(), 1u);
    EXPECT_EQ(net.introductions(p.easy).sockets().size(), 0u);
    for (int i = 0; i < 26; i++) {
      net.run_for(5s);
      EXPECT_TRUE(net.carries()) << i;
    }
    EXPECT_EQ(net.relay("r1").counters().straightened, 1u);
    const auto through = [&] { return net.relay("r2").counters().forwarded_bytes + net.relay("r3").counters().forwarded_bytes; };
    const uint64_t then = through();
    EXPECT_TRUE(net.carries());
    EXPECT_EQ(through(), then) << "it still goes through an introducer";
    net.check_all();
  }
}

TEST(Guess, FindsNearlyAlways) {
  std::vector<Duration> took;
  for (uint64_t seed = 0; seed < 12; seed++) {
    HomeNet net(Nat::hard, Nat::cone, 3, Guesses::both, 100 + seed);
    ASSERT_NE(net.connect(net.client(), kTun), nullptr);
    net.run_for(12s);
    if (net.introductions("r1").counters().guessed == 1) took.push_back(net.introductions("r1").counters().last_meeting);
  }
  ASSERT_GE(took.size(), 11u) << "of 12";
  std::sort(took.begin(), took.end());
  EXPECT_LT(took[took.size() / 2], 4s);
}

TEST(Guess, NeedsBoth) {
  for (const Pair& p : kPairs) {
    for (const std::string name : {p.easy, p.hard}) {
      HomeNet net(p.exit, p.middle);
      net.command(*net.hosts[name], [&](Node& n, Effects& fx) { n.set_introducers(net.now, {net.id("r2"), net.id("r3")}, {}, fx); });
      net.run_for(30s);  // until it has said REGISTER
      ASSERT_NE(net.connect(net.client(), kTun), nullptr);
      net.run_for(15s);
      EXPECT_EQ(net.introductions("r1").counters().guesses, 0u);
      EXPECT_EQ(net.introductions("e0").counters().guesses, 0u);
      EXPECT_EQ(net.introductions("r1").counters().punch_failed, 1u);
      EXPECT_TRUE(net.carries());
    }
  }
}

TEST(Guess, OfTwoHardNatsThereIsNone) {
  HomeNet net(Nat::hard, Nat::hard);
  ASSERT_NE(net.connect(net.client(), kTun), nullptr);
  net.run_for(15s);
  EXPECT_EQ(net.introductions("r1").counters().guesses, 0u);
  EXPECT_EQ(net.introductions("r1").counters().punch_failed, 1u);
  EXPECT_TRUE(net.carries());
}

// Nothing arrives of what the two send each other.
struct DeafPair : HomeNet {
  explicit DeafPair(const Pair& p) : HomeNet(p.exit, p.middle) {
    drop = [this](const TestWorld::Flight& f) {
      return f.from != nullptr && ((f.from->name == "r1" && f.to->name == "e0") || (f.from->name == "e0" && f.to->name == "r1"));
    };
  }
};

TEST(Guess, IsBoundedInNumberSizeAndTime) {
  for (const Pair& p : kPairs) {
    DeafPair net(p);
    ASSERT_NE(net.connect(net.client(), kTun), nullptr);
    Watched easy;
    easy.watch(net, p.easy, p.hard);
    // The client rekeys every two minutes, and each time they are introduced again.
    const auto live = [&](int minutes) {
      for (int i = 0; i < 2 * minutes; i++) {
        EXPECT_TRUE(net.carries());
        net.run_for(30s);
      }
    };
    live(50);
    EXPECT_EQ(net.introductions(p.easy).counters().guesses, 1u);
    EXPECT_EQ(net.introductions(p.hard).counters().guesses, 1u);
    EXPECT_EQ(net.introductions(p.hard).counters().guess_failed, 1u);
    EXPECT_GE(net.introductions("r1").counters().asked, 10u) << "or the test shows nothing";
    EXPECT_LE(easy.largest, discovery::kLargestPunch);
    EXPECT_EQ(easy.to_low_ports, 0u);
    EXPECT_GE(easy.ports.size(), discovery::kMaxGuesses);
    EXPECT_LE(easy.probes, discovery::kMaxGuesses + 60 * discovery::kMaxProbes);
    EXPECT_EQ(net.introductions(p.hard).sockets().size(), 0u) << "all were closed";
    EXPECT_EQ(net.hosts[p.hard]->sockets.size(), 0u);
    net.check_all();
    // After an hour it is tried once more.
    live(15);
    EXPECT_EQ(net.introductions(p.easy).counters().guesses, 2u);
  }
}

TEST(Guess, TheHardSideSendsToOneEndpointAloneAndLittle) {
  DeafPair net(kPairs[0]);
  ASSERT_NE(net.connect(net.client(), kTun), nullptr);
  Watched hard;
  hard.watch(net, "e0", "r1");
  net.run_for(12s);
  EXPECT_EQ(hard.elsewhere, 0u);
  EXPECT_EQ(hard.ports.size(), 1u);
  EXPECT_LE(hard.probes, 2 * discovery::kGuessSockets + discovery::kMaxProbes);
  EXPECT_GE(hard.probes, discovery::kGuessSockets);
}

TEST(Guess, WhoIsInOneSaysSoAtOnce) {
  HomeNet net(Nat::cone);
  const auto said = [&] { return net.introductions("r2").registered(net.now, net.id("e0"))->guess; };
  EXPECT_EQ(said(), GuessSide::easy);
  const auto lie = routing::write_introduce({net.id("r3"), {1}, {net.hosts["r3"]->address, 4711}, GuessSide::hard});
  for (const PeerRef p : net.hosts["r2"]->node->tunnels().peers()) net.send_frame(*net.hosts["r2"], p, lie);
  net.run_for(200ms);
  EXPECT_EQ(net.introductions("e0").counters().guesses, 0u) << "it still punches";
  EXPECT_EQ(said(), GuessSide::none);
  net.run_for(90s);
  EXPECT_EQ(net.introductions("e0").counters().guesses, 1u);
  EXPECT_EQ(said(), GuessSide::easy);
}

TEST(Guess, OneAtATime) {
  // e0 behind a hard NAT is wanted by r1 and by r0, both behind cones.
  DeafPair net(kPairs[0]);
  ASSERT_NE(net.connect(net.client(), kTun), nullptr);
  ASSERT_TRUE(net.run_until([&] { return net.introductions("e0").counters().guesses == 1; }, 5s));
  net.put_behind("r0", Nat::cone);
  net.publish();
  net.register_at("r0");
  net.run_for(2s);
  // r0 asks as r1 did; what its introducers say of e0 is that it is busy.
  const auto asks = [&](const char* through) {
    for (const PeerRef peer : net.hosts["r0"]->node->tunnels().peers()) {
      const auto info = net.hosts["r0"]->node->tunnels().info(peer);
      if (info->kind == encryption::PeerKind::hop && info->route.endpoint.address == net.hosts[through]->address && info->established) return peer;
    }
    return PeerRef{};
  };
  ASSERT_NE(asks("r2").value, 0u);
  const auto& e0 = net.introductions("e0");
  const uint64_t introduced = net.introductions("r2").counters().introduced;
  const auto me = net.hosts["r0"]->node->tunnels().info(asks("r2"))->our_key;
  auto pair = encryption::PairKeys::derive(net.network.id.bytes, net.hosts["r0"]->config.wireguard, net.hosts["r2"]->config.wireguard.pub);
  const discovery::PunchNonce nonce{9};
  const auto mac = pair->trailer_mac(routing::signed_connect(me, net.id("e0"), nonce));
  net.send_frame(*net.hosts["r0"], asks("r2"), routing::write_connect({net.id("r0"), net.id("e0"), nonce, mac, GuessSide::easy}));
  net.run_for(4s);
  EXPECT_EQ(net.introductions("r2").counters().introduced, introduced + 1) << "or the test shows nothing";
  EXPECT_EQ(e0.counters().guesses, 1u);
  EXPECT_GE(e0.counters().punch_failed, 1u);
  net.check_all();
}

TEST(GuessHostile, OfWhatComesToItsSocketsOnlyTheOtherSidesIsLookedAt) {
  HomeNet net(Nat::hard, Nat::cone);
  ASSERT_NE(net.connect(net.client(), kTun), nullptr);
  ASSERT_TRUE(net.run_until([&] { return net.introductions("r1").counters().guessed == 1; }, 10s));
  net.run_for(2s);
  auto& e0 = *net.hosts["e0"];
  ASSERT_EQ(e0.sockets.size(), 1u);
  const SocketId way = *e0.sockets.begin();
  Stranger stranger(5);
  const auto call = stranger.call(net.now, e0);
  const size_t peers = e0.node->tunnels().peers().size();
  const auto arrive = [&](SocketId socket, const Endpoint& from) {
    e0.nat = Nat::none;  // as if its NAT let everything in
    net.send_forged(from, e0, socket, call.initiation.message);
    net.run_for(100ms);
    e0.nat = Nat::hard;
  };
  const Endpoint stranger_at = *Endpoint::parse("203.0.113.99:99");
  const uint64_t unknown = e0.node->counters().unknown;
  arrive(way, stranger_at);
  EXPECT_EQ(e0.node->counters().unknown, unknown + 1);
  EXPECT_EQ(e0.node->tunnels().peers().size(), peers);
  arrive(kListenSocket, stranger_at);
  EXPECT_EQ(e0.node->tunnels().peers().size(), peers + 1) << "or the test shows nothing";
}

TEST(GuessHostile, AProbeThatIsNotTheOthersWinsNothing) {
  // On the wire somebody copies probes, changes a byte, and sends them on to every socket of the hard side, from the easy side's endpoint.
  HomeNet net(Nat::hard, Nat::cone);
  auto& e0 = *net.hosts["e0"];
  net.drop = [&](const TestWorld::Flight& f) {
    if (f.from == nullptr || f.from->name != "r1" || f.to->name != "e0") return false;
    const_cast<TestWorld::Flight&>(f).bytes[50] ^= 1;
    return false;
  };
  ASSERT_NE(net.connect(net.client(), kTun), nullptr);
  const uint64_t refused = net.introductions("e0").counters().refused;
  net.run_for(12s);
  EXPECT_EQ(net.introductions("e0").counters().guesses, 1u);
  EXPECT_EQ(net.introductions("r1").counters().met, 0u);
  EXPECT_EQ(net.introductions("e0").counters().guess_failed, 1u);
  EXPECT_GT(net.introductions("e0").counters().refused, refused) << "none arrived: the test shows nothing";
  EXPECT_EQ(e0.sockets.size(), 0u);
}

TEST(GuessHostile, AnIntroducerThatLiesAboutTheSideHasBothShootOnceAtADirectoryAddress) {
  HomeNet net(Nat::cone, Nat::cone);
  Watched easy;
  easy.watch(net, "e0", "r0");
  // r2 says to e0, whose introducer it is, that r0 and r3 (in the open, not asking) could be the hard side.
  for (uint8_t i = 1; i < 20; i++) {
    const char* const who = i % 2 == 0 ? "r0" : "r3";
    const auto lie = routing::write_introduce({net.id(who), {i}, {net.hosts[who]->address, 4711}, GuessSide::hard});
    for (const PeerRef p : net.hosts["r2"]->node->tunnels().peers()) net.send_frame(*net.hosts["r2"], p, lie);
    net.run_for(10s);
    EXPECT_EQ(net.introductions("e0").counters().guesses, i < 8 ? 1u : 2u) << int(i) << ": one a minute, one an hour with the same";
  }
  EXPECT_LE(easy.probes, discovery::kMaxGuesses + 20 * discovery::kMaxProbes);
  net.check_all();
}

TEST(GuessHostile, TwoIntroductionsAtOnceMakeOneGuess) {
  HomeNet net(Nat::cone, Nat::cone);
  uint8_t i = 1;
  for (const char* const who : {"r0", "r3"}) {
    const auto lie = routing::write_introduce({net.id(who), {i++}, {net.hosts[who]->address, 4711}, GuessSide::hard});
    for (const PeerRef p : net.hosts["r2"]->node->tunnels().peers()) net.send_frame(*net.hosts["r2"], p, lie);
  }
  net.run_for(20s);
  EXPECT_EQ(net.introductions("e0").counters().guesses, 1u);
  EXPECT_EQ(net.introductions("e0").counters().punch_failed, 2u) << "or the test shows nothing";
  net.check_all();
}

TEST(Guess, TheSocketThatWonGoesWhenNothingComesAnyMore) {
  HomeNet net(Nat::hard, Nat::cone);
  ASSERT_NE(net.connect(net.client(), kTun), nullptr);
  ASSERT_TRUE(net.run_until([&] { return net.introductions("r1").counters().guessed == 1; }, 10s));
  net.run_for(5min);
  EXPECT_EQ(net.hosts["e0"]->sockets.size(), 1u) << "kept open by what both say";
  net.hosts["r1"]->dead = true;
  net.run_for(kWaySocketLife + 1min);
  EXPECT_EQ(net.hosts["e0"]->sockets.size(), 0u);
  net.check_all();
}

}  // namespace
}  // namespace macrovpn::node
