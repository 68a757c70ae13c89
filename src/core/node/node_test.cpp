#include "core/node/node.h"

#include <gtest/gtest.h>

#include "core/node/node_world_test.h"
#include "core/routing/address_rewrite.h"

namespace macrovpn::node {
namespace {

constexpr TunId kTun{7};

struct Net : SmallNet {
  explicit Net(const ClientConfig& client = {}, uint64_t seed = 1) : SmallNet(client, seed) {}
  const Circuit* connect() {
    publish();
    return SmallNet::connect(client(), kTun);
  }
};

std::vector<uint8_t> question() {
  return udp_packet("10.10.0.2", "192.0.2.1", 100);
}

// The exit's answer to whoever asked: source and destination swapped.
std::vector<uint8_t> answer_to(const std::vector<uint8_t>& asked) {
  std::vector<uint8_t> out = asked;
  std::copy_n(asked.begin() + 12, 4, out.begin() + 16);
  std::copy_n(asked.begin() + 16, 4, out.begin() + 12);
  return out;
}

TEST(Node, BuildsThreeHopsInOneRoundTrip) {
  Net net({.spare_circuits = 0});
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(c->hops.size(), 3u);
  // Three links of 20 ms, there and back.
  EXPECT_EQ(c->ready_after, 120ms);
  EXPECT_TRUE(c->granted);
}

// Whichever link of the way loses a datagram of a build, up or down, and in either way of building.
TEST(Node, ALostDatagramCostsABuildLessThanItsTimeout) {
  for (const Build build : {Build::one_round_trip, Build::hop_by_hop}) {
    for (int lost = 1; lost <= (build == Build::hop_by_hop ? 12 : 6); lost++) {
      Net net({.build = build, .spare_circuits = 0}, static_cast<uint64_t>(lost));
      int seen = 0;
      net.drop = [&](const TestWorld::Flight&) { return ++seen == lost; };
      net.publish();
      net.attach(net.client(), kTun);
      const Mono began = net.now.mono;
      ASSERT_TRUE(net.run_until([&] { return net.active(net.client(), kTun) != nullptr; }, 20s)) << lost;
      EXPECT_LT(net.now.mono - began, routing::BuildTimeout::kFirst * 3) << lost;
      EXPECT_EQ(net.client().node->client()->circuits().size(), 1u) << lost;
      EXPECT_EQ(net.client().node->client()->circuits().begin()->first.value, 1u) << lost << ": another circuit";
      net.send_from_program(net.client(), kTun, question());
      net.run_for(1s);
      EXPECT_EQ(net.host_of(net.active(net.client(), kTun)->exit()).exit.size(), 1u) << lost;
      net.check_all();
    }
  }
}

// Asked a second time after a second, three tenths before the first answer.
TEST(Node, ASlowWayIsNotGivenUpBecauseItWasAskedTwice) {
  Net net({.spare_circuits = 0});
  net.link = std::chrono::duration_cast<Duration>(routing::BuildTimeout::kFirst) * 7 / 60;  // six of them: 0.7 of the timeout
  net.publish();
  net.attach(net.client(), kTun);
  ASSERT_TRUE(net.run_until([&] { return net.active(net.client(), kTun) != nullptr; }, 20s));
  EXPECT_EQ(net.client().node->client()->circuits().begin()->first.value, 1u) << "another circuit";
}

// The guard answers in time, and the whole way never does: after a few of those it is the network that is slow.
TEST(Node, AWayThatIsSlowBehindItsGuardIsWaitedForInTheEnd) {
  Net net({.spare_circuits = 0});
  net.link = std::chrono::duration_cast<Duration>(routing::BuildTimeout::kFirst) / 4;  // six of them: one and a half times the timeout
  net.publish();
  net.attach(net.client(), kTun);
  ASSERT_TRUE(net.run_until([&] { return net.active(net.client(), kTun) != nullptr; }, 60s));
}

TEST(Node, HopByHopTakesARoundTripForEachHop) {
  Net net({.build = Build::hop_by_hop, .spare_circuits = 0});
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(c->ready_after, 240ms);
}

TEST(Node, BuildsOneToFiveHops) {
  for (size_t hops = 1; hops <= 5; hops++) {
    Net net({.hops = hops, .spare_circuits = 0}, hops);
    const Circuit* c = net.connect();
    ASSERT_NE(c, nullptr) << hops;
    EXPECT_EQ(c->hops.size(), hops);
    EXPECT_EQ(c->ready_after, 40ms * hops);
    net.send_from_program(net.client(), kTun, question());
    net.run_for(1s);
    EXPECT_EQ(net.host_of(c->exit()).exit.size(), 1u);
    net.check_all();
  }
}

TEST(Node, CarriesPacketsBothWaysAndOnlyTheExitSeesThem) {
  Net net;
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  net.send_from_program(net.client(), kTun, question());
  net.run_for(200ms);
  auto& exit = net.host_of(c->exit());
  ASSERT_EQ(exit.exit.size(), 1u);
  net.send_from_exit(exit, answer_to(exit.exit[0]));
  net.run_for(200ms);
  ASSERT_EQ(net.client().tun.size(), 1u);
  EXPECT_EQ(net.client().tun[0].size(), question().size());
  for (auto& [name, h] : net.hosts) {
    EXPECT_EQ(h->exit.empty(), h.get() != &exit) << name;
  }
  net.check_all();
}

TEST(Node, RefusesASourceAddressThatIsNotTheInsideOne) {
  Net net;
  const Circuit* c = net.connect();
  net.send_from_program(net.client(), kTun, udp_packet("10.10.0.3", "192.0.2.1", 10));
  net.run_for(1s);
  EXPECT_TRUE(net.host_of(c->exit()).exit.empty());
}

TEST(Node, HopKeepsExitAndLeaseAndChangesTheMiddle) {
  Net net;
  const Circuit* before = net.connect();
  ASSERT_NE(before, nullptr);
  const PeerId middle = before->hops[1].relay.id, exit_id = before->exit().relay.id;
  const auto lease = before->lease;
  auto& exit = net.host_of(before->exit());
  net.send_from_program(net.client(), kTun, question());
  net.run_for(200ms);
  net.hop(net.client());
  ASSERT_TRUE(net.run_until([&] { return net.count<LeaseMoved>(net.client()) == 1; }, 20s));
  const Circuit* after = net.active(net.client(), kTun);
  ASSERT_NE(after, nullptr);
  net.run_for(1s);
  EXPECT_NE(after->hops[1].relay.id, middle);
  EXPECT_EQ(after->exit().relay.id, exit_id);
  EXPECT_EQ(after->lease, lease);
  // The lease's private address is still the same.
  net.send_from_program(net.client(), kTun, question());
  net.run_for(200ms);
  ASSERT_EQ(exit.exit.size(), 2u);
  EXPECT_EQ(exit.exit[0], exit.exit[1]);
  net.check_all();
}

TEST(Node, MovesItsLeaseByItselfWhenTheMiddleDies) {
  Net net;
  const Circuit* before = net.connect();
  ASSERT_NE(before, nullptr);
  const auto lease = before->lease;
  net.host_of(before->hops[1]).dead = true;
  const Mono died = net.now.mono;
  net.send_from_program(net.client(), kTun, question());
  ASSERT_TRUE(net.run_until([&] { return net.count<LeaseMoved>(net.client()) > 0; }, 10s));
  EXPECT_LT(net.now.mono - died, 3s);
  net.run_for(1s);
  EXPECT_EQ(net.active(net.client(), kTun)->lease, lease);
  EXPECT_EQ(net.count<LeaseLost>(net.client()), 0u);
  net.check_all();
}

TEST(Node, TakesAnotherGuardWhenTheFirstDies) {
  Net net;
  const Circuit* before = net.connect();
  ASSERT_NE(before, nullptr);
  const PeerId guard = before->hops[0].relay.id;
  net.host_of(before->hops[0]).dead = true;
  net.send_from_program(net.client(), kTun, question());
  ASSERT_TRUE(net.run_until([&] { return net.count<LeaseMoved>(net.client()) > 0; }, 30s));
  EXPECT_NE(net.active(net.client(), kTun)->hops[0].relay.id, guard);
  net.check_all();
}

TEST(Node, TakesAnotherExitAndSaysSoWhenTheExitDies) {
  Net net;
  const Circuit* before = net.connect();
  ASSERT_NE(before, nullptr);
  const PeerId exit = before->exit().relay.id;
  net.host_of(before->exit()).dead = true;
  net.send_from_program(net.client(), kTun, question());
  ASSERT_TRUE(net.run_until(
      [&] {
        return net.active(net.client(), kTun) != nullptr &&
               net.active(net.client(), kTun)->exit().relay.id != exit;
      },
      120s));
  EXPECT_GE(net.count<LeaseLost>(net.client()), 1u);
  net.check_all();
}

TEST(Node, FallsBackToHopByHopWhenARelayRestartedWithANewPrekey) {
  Net net({.spare_circuits = 0});
  net.publish();
  for (auto& [name, h] : net.hosts) {
    if (h->config.relay) net.restart(*h);  // prekeys in the client's directory are stale now
  }
  for (auto& [name, r] : net.hosts) {  // relays know each other still
    if (!r->config.relay) continue;
    for (const auto& [id, info] : net.client().node->directory().relays())
      static_cast<void>(r->node->directory().insert(*info));
  }
  net.attach(net.client(), kTun);
  ASSERT_TRUE(net.run_until([&] { return net.active(net.client(), kTun) != nullptr; }, 20s));
  EXPECT_TRUE(net.active(net.client(), kTun)->hop_by_hop);
}

TEST(Node, UsesRelaysThatRestartedAgainWithinSeconds) {
  TestWorld net(5);
  for (int i = 0; i < 2; i++)
    net.add_relay("r" + std::to_string(i), "198.51.100." + std::to_string(10 + 16 * i), false);
  net.add_relay("e0", "203.0.113.10", true);
  auto& client = net.add_client("client", "192.0.2.50", {});
  net.link = 1ms;
  net.publish();
  net.attach(client, kTun);
  ASSERT_TRUE(net.run_until([&] { return net.active(client, kTun) != nullptr; }, 20s));
  net.run_for(5s);
  net.detach(client, kTun);
  net.run_for(1s);
  for (const char* name : {"r0", "r1"}) net.restart(*net.hosts[name]);
  net.run_for(1s);
  net.publish();
  const Mono asked = net.now.mono;
  net.attach(client, TunId{8});
  auto& exit = *net.hosts["e0"];
  while (exit.exit.empty() && net.now.mono - asked < 30s) {
    net.send_from_program(client, TunId{8}, question());
    net.run_for(200ms);
  }
  EXPECT_LT(net.now.mono - asked, 6s);
}

TEST(Node, EntersARelayUnderLoadByItsCookie) {
  Net net({.spare_circuits = 0});
  for (auto& [name, h] : net.hosts) {
    if (!h->config.relay) continue;
    h->config.tunnels.load_threshold = 0;  // every initiation must show a cookie
    net.restart(*h);
  }
  EXPECT_NE(net.connect(), nullptr);
}

TEST(Node, AForgedLeaseMtuIsRefused) {
  Net net;
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  const uint64_t before = net.host_of(c->exit()).node->exit()->counters().refused;
  for (const uint16_t mtu : {0, 20, 52, 575, 65535}) {
    routing::LeaseFrame f;
    f.mtu = mtu;
    net.send_frame(net.client(), c->exit().peer, routing::write_lease(f));
  }
  net.run_for(1s);
  EXPECT_EQ(net.host_of(c->exit()).node->exit()->counters().refused, before + 5);
}

TEST(Node, ADetachedBuildLeavesTheGuardUsable) {
  Net net({.spare_circuits = 0});
  net.publish();
  net.drop = [](const TestWorld::Flight&) { return true; };
  net.attach(net.client(), kTun);
  net.run_for(10ms);
  net.detach(net.client(), kTun);
  net.drop = {};
  net.attach(net.client(), TunId{9});
  EXPECT_TRUE(net.run_until([&] { return net.active(net.client(), TunId{9}) != nullptr; }, 20s));
  net.check_all();
}

TEST(Node, AShortOutageLosesNoLease) {
  Net net;
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  const auto lease = c->lease;
  net.drop = [](const TestWorld::Flight&) { return true; };
  for (int i = 0; i < 20; i++) {
    net.send_from_program(net.client(), kTun, question());
    net.run_for(1s);
  }
  net.drop = {};
  ASSERT_TRUE(net.run_until([&] { return net.count<LeaseMoved>(net.client()) > 0; }, 60s));
  EXPECT_EQ(net.active(net.client(), kTun)->lease, lease);
  EXPECT_EQ(net.count<LeaseLost>(net.client()), 0u);
  net.check_all();
}

TEST(Node, ALostGrantDoesNotLoseTheLease) {
  Net net({.spare_circuits = 0});
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  const auto lease = c->lease;
  net.hop(net.client());
  net.run_until([&] { return net.count<CircuitReady>(net.client()) == 2; }, 10s);
  net.drop = [&](const TestWorld::Flight& f) { return f.to == &net.client(); };  // GRANTED with the new secret is lost
  net.run_for(200ms);
  net.drop = {};
  net.hop(net.client());
  net.run_for(5s);
  EXPECT_EQ(net.count<LeaseLost>(net.client()), 0u);
  ASSERT_NE(net.active(net.client(), kTun), nullptr);
  EXPECT_EQ(net.active(net.client(), kTun)->lease, lease);
}

TEST(Node, ADeadExitDoesNotCostTheGuard) {
  Net net;
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  const PeerId guard = c->hops[0].relay.id, exit = c->exit().relay.id;
  net.host_of(c->exit()).dead = true;
  net.send_from_program(net.client(), kTun, question());
  ASSERT_TRUE(net.run_until(
      [&] { return net.active(net.client(), kTun) != nullptr && net.active(net.client(), kTun)->exit().relay.id != exit; }, 120s));
  EXPECT_EQ(net.active(net.client(), kTun)->hops[0].relay.id, guard);
}

TEST(Node, ARelayedInitiationsBudgetHolds) {
  Net net({.spare_circuits = 0});
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  auto& guard = net.host_of(c->hops[0]);
  const uint64_t before = guard.node->relay()->counters().extended;
  ByteArray<148> garbage{1};
  for (uint32_t i = 1; i <= 200; i++) {
    store_le32(&garbage[4], i);
    net.send_frame(net.client(), c->hops[0].peer,
                   routing::write_extend(c->hops[1].relay.id, 0, routing::write_element(garbage, {1000 + i}, {})));
  }
  net.run_for(100ms);
  EXPECT_LE(guard.node->relay()->counters().extended - before, 42u);
  EXPECT_GE(guard.node->relay()->counters().extended - before, 30u);
}

TEST(Node, ARelayAnswersAStockWireGuardInitiationWithAPlainResponse) {
  Net net;
  auto& relay = *net.hosts["r0"];
  std::vector<std::vector<uint8_t>> answers;
  net.tap = [&](const TestWorld::Flight& f) {
    if (f.from == &relay) answers.push_back(f.bytes);
  };
  PacketPool pool;
  SeededRng rng(9);
  encryption::Tunnels stock(crypto::x25519_generate(rng), {}, ShardId{0}, pool, rng);
  const auto peer = stock.add_configured(net.now.mono, {.key = relay.config.wireguard.pub});
  const auto init = stock.start_handshake(net.now, *peer);
  ASSERT_TRUE(init.ok());
  net.send_datagram(net.client(), relay, init->message);
  net.run_for(1s);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].size(), 1 + encryption::kResponseSize);
  EXPECT_EQ(answers[0][0], 2);
}

TEST(Node, NoRelaySendsItsCallerMoreThanItGotBeforeConfirmation) {
  for (size_t hops = 1; hops <= 5; hops++) {
    Net net({.hops = hops, .spare_circuits = 0}, 40 + hops);
    uint64_t to_guard = 0, from_guard = 0;
    net.tap = [&](const TestWorld::Flight& f) {
      if (f.from == &net.client() && from_guard == 0) to_guard += f.bytes.size();
    };
    // The client is deaf: its confirmation never comes.
    net.drop = [&](const TestWorld::Flight& f) {
      if (f.to != &net.client()) return false;
      from_guard += f.bytes.size();
      return true;
    };
    net.publish();
    net.attach(net.client(), kTun);
    net.run_for(1s);
    EXPECT_GT(from_guard, 0u) << hops;
    EXPECT_LE(from_guard, to_guard) << hops;
  }
}

TEST(Node, EveryTransportMessageIsAMultipleOfSixteen) {
  Net net;
  const Circuit* c = net.connect();
  std::map<size_t, int> sizes;
  net.tap = [&](const TestWorld::Flight& f) { sizes[(f.bytes.size() - 1) % 16]++; };
  for (size_t n = 1; n < 1200; n += 37) {
    net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", n));
    net.run_for(10ms);
  }
  EXPECT_EQ(sizes.size(), 1u);
  EXPECT_GT(sizes[0], 60);
  ASSERT_NE(c, nullptr);
}

TEST(Node, AnswersTooBigInsteadOfSendingMoreThanTheCircuitCarries) {
  Net net;
  const Circuit* c = net.connect();
  ASSERT_EQ(c->mtu(), 1376);
  net.run_for(2s);
  net.client().tun.clear();
  net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 1376 - 28));
  net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 1377 - 28));
  net.run_for(1s);
  EXPECT_EQ(net.host_of(c->exit()).exit.size(), 1u);
  ASSERT_EQ(net.client().tun.size(), 1u);
  EXPECT_EQ(net.client().tun[0][20], 3);  // ICMP destination unreachable
  EXPECT_EQ(net.client().tun[0][21], 4);  // fragmentation needed
}

// Exits without IPv6 say so; the program hears it from its own side.
TEST(Node, AnswersIpv6WhereTheExitHasNone) {
  for (const bool has_v6 : {false, true}) {
    Net net({.spare_circuits = 0});
    for (const char* name : {"e0", "e1"}) {
      net.hosts[name]->config.relay->exit_v6 = has_v6;
      net.restart(*net.hosts[name]);
    }
    const Circuit* c = net.connect();
    ASSERT_NE(c, nullptr);
    net.run_for(2s);
    net.client().tun.clear();
    net.send_from_program(net.client(), kTun, udp_packet("fd86:ea04:1115::2", "2001:db8::9", 100));
    ASSERT_EQ(net.client().tun.size(), has_v6 ? 0u : 1u);  // no time has passed
    if (!has_v6) {
      EXPECT_EQ(net.client().tun[0][6], 58);
      EXPECT_EQ(net.client().tun[0][40], 1);  // ICMPv6 destination unreachable
    }
    net.send_from_program(net.client(), kTun, udp_packet("fd86:ea04:1115::2", "fd86:ea04:1115::1", 100));
    net.run_for(1s);
    EXPECT_EQ(net.host_of(c->exit()).exit.size(), has_v6 ? 2u : 1u);  // names always
  }
}

TEST(Node, ASpareCircuitServesTheNextProgramAtOnce) {
  Net net;
  ASSERT_NE(net.connect(), nullptr);
  net.run_for(3s);
  net.attach(net.client(), TunId{8});
  EXPECT_NE(net.active(net.client(), TunId{8}), nullptr);  // no time has passed
}

TEST(Node, CircuitsOutliveRekeysForTenMinutesOfTraffic) {
  Net net({.spare_circuits = 0});
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  const CircuitId id = c->id;
  auto& exit = net.host_of(c->exit());
  for (int i = 0; i < 600; i++) {
    net.send_from_program(net.client(), kTun, question());
    net.run_for(500ms);
    if (!exit.exit.empty()) net.send_from_exit(exit, answer_to(exit.exit.back()));
    net.run_for(500ms);
  }
  EXPECT_EQ(exit.exit.size(), 600u);
  EXPECT_EQ(net.client().tun.size(), 600u);
  ASSERT_NE(net.active(net.client(), kTun), nullptr);
  EXPECT_EQ(net.active(net.client(), kTun)->id, id);
  net.check_all();
}

TEST(Node, ALapsedCircuitIsRebuiltWithItsLeaseOnTheNextPacket) {
  Net net({.spare_circuits = 0});
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  const auto lease = c->lease;
  // Pings end after five idle minutes, the sessions some minutes later; the lease outlives them by two.
  const Node& exit = *net.host_of(c->exit()).node;
  ASSERT_TRUE(net.run_until([&] { return exit.tunnels().ephemeral_count() == 0; }, 15min));
  net.run_for(60s);
  net.send_from_program(net.client(), kTun, question());
  ASSERT_TRUE(net.run_until([&] { return net.count<LeaseMoved>(net.client()) > 0; }, 10s));
  net.run_for(1s);
  EXPECT_EQ(net.active(net.client(), kTun)->lease, lease);
}

}  // namespace
}  // namespace macrovpn::node
