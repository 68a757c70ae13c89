// What a relay's operator decides: how it ends, what it carries at most.
#include <gtest/gtest.h>

#include "core/node/capacity.h"
#include "core/node/node.h"
#include "core/node/node_world_test.h"

namespace macrovpn::node {
namespace {

using peers::Service;
constexpr TunId kTun{7};

struct OperatorNet : SmallNet {
  explicit OperatorNet(const ClientConfig& client = {.spare_circuits = 0}) : SmallNet(client, 3, {5, 2}) {}
  const Circuit* active_one() { return active(client(), kTun); }
  const Circuit* connect() {
    publish();
    return SmallNet::connect(client(), kTun);
  }
  void serve(Host& h, Service s) {
    command(h, [&](Node& n, Effects& fx) { n.set_service(now, s, fx); });
  }
  // A packet each 10 ms; returns how many the exits did not see.
  size_t lost_while_sending(int packets) {
    size_t before = 0, after = 0;
    for (auto& [name, h] : hosts) before += h->exit.size();
    for (int i = 0; i < packets; i++) {
      send_from_program(client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
      run_for(10ms);
    }
    run_for(1s);
    for (auto& [name, h] : hosts) after += h->exit.size();
    return static_cast<size_t>(packets) - (after - before);
  }
};

TEST(RelayOperator, ADrainingMiddleLosesNothing) {
  OperatorNet net;
  const Circuit* before = net.connect();
  ASSERT_NE(before, nullptr);
  auto& middle = net.host_of(before->hops[1]);
  const auto exit = before->exit().relay.id;
  net.serve(middle, Service::draining);
  EXPECT_EQ(net.lost_while_sending(500), 0u);
  const Circuit* after = net.active_one();
  ASSERT_NE(after, nullptr);
  EXPECT_NE(after->hops[1].relay.wireguard, middle.config.wireguard.pub);
  EXPECT_EQ(after->exit().relay.id, exit);
  EXPECT_EQ(net.count<LeaseLost>(net.client()), 0u);
  EXPECT_EQ(net.count<LeaseMoved>(net.client()), 1u);
  EXPECT_EQ(middle.node->relay()->legs(), 0u) << "left, and said so";
  net.check_all();
}

TEST(RelayOperator, ADrainingGuardLosesNothing) {
  OperatorNet net({.spare_circuits = 1});
  const Circuit* before = net.connect();
  ASSERT_NE(before, nullptr);
  auto& guard = net.host_of(before->hops[0]);
  const size_t sampled = net.client().node->client()->guards().all().size();
  net.serve(guard, Service::draining);
  EXPECT_EQ(net.lost_while_sending(500), 0u);
  ASSERT_NE(net.active_one(), nullptr);
  EXPECT_NE(net.active_one()->hops[0].relay.wireguard, guard.config.wireguard.pub);
  EXPECT_EQ(net.count<LeaseLost>(net.client()), 0u);
  EXPECT_EQ(guard.node->relay()->legs(), 0u);
  EXPECT_EQ(net.client().node->client()->guards().all().size(), sampled) << "a guard that rests is no reason for a new one";
  net.check_all();
}

TEST(RelayOperator, ADrainingExitIsReplacedAndItsLeasesAreGivenBack) {
  OperatorNet net;
  const Circuit* before = net.connect();
  ASSERT_NE(before, nullptr);
  auto& exit = net.host_of(before->exit());
  net.serve(exit, Service::draining);
  EXPECT_EQ(net.lost_while_sending(500), 0u);
  ASSERT_NE(net.active_one(), nullptr);
  EXPECT_NE(net.active_one()->exit().relay.wireguard, exit.config.wireguard.pub);
  EXPECT_EQ(net.count<LeaseLost>(net.client()), 1u);
  EXPECT_EQ(exit.node->exit()->leases(), 0u);
  net.check_all();
}

TEST(RelayOperator, GoodbyesThatGotLostAreSaidAgain) {
  OperatorNet net;
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  auto& middle = net.host_of(c->hops[1]);
  net.drop = [&](const TestWorld::Flight& f) { return f.from == &middle; };
  net.serve(middle, Service::draining);
  net.run_for(100ms);
  net.drop = {};
  EXPECT_EQ(net.lost_while_sending(500), 0u);
  EXPECT_EQ(middle.node->relay()->legs(), 0u);
}

TEST(RelayOperator, ADrainingRelayTakesNothingNewUntilItIsOpenAgain) {
  for (size_t i = 0; i < 3; i++) {  // as guard, middle, exit
    OperatorNet net;
    net.publish();
    std::vector<PeerId> path;
    for (const char* name : {"r0", "r1", "e0"})
      path.push_back(discovery::peer_id_of(net.hosts[name]->config.identity->pub));
    auto& relay = *net.hosts[std::vector{"r0", "r1", "e0"}[i]];
    net.serve(relay, Service::draining);
    auto& client = net.add_client("pinned", "192.0.2.60", {.pinned_path = path, .spare_circuits = 0});
    net.publish();
    net.attach(client, kTun);
    net.run_for(5s);
    EXPECT_EQ(net.active(client, kTun), nullptr) << i;
    EXPECT_EQ(relay.node->relay()->legs() + relay.node->exit()->leases(), 0u) << i;
    net.serve(relay, Service::open);
    EXPECT_TRUE(net.run_until([&] { return net.active(client, kTun) != nullptr; }, 20s)) << i;
    net.check_all();
  }
}

TEST(RelayOperator, ARelayThatIsBackIsUsedAgain) {
  ClientConfig config{.spare_circuits = 0};
  OperatorNet net(config);
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  auto& exit = net.host_of(c->exit());
  auto& other_exit = &exit == net.hosts["e0"].get() ? *net.hosts["e1"] : *net.hosts["e0"];
  net.serve(exit, Service::draining);
  net.run_for(5s);
  net.restart(exit);
  net.publish();
  net.serve(other_exit, Service::draining);
  EXPECT_TRUE(net.run_until(
      [&] {
        const Circuit* a = net.active_one();
        return a != nullptr && a->exit().relay.wireguard == exit.config.wireguard.pub;
      },
      20s));
}

TEST(RelayOperator, AClosedRelayHasNeitherLegsNorLeases) {
  OperatorNet net;
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  auto& middle = net.host_of(c->hops[1]);
  auto& exit = net.host_of(c->exit());
  ASSERT_EQ(middle.node->relay()->legs(), 1u);
  ASSERT_EQ(exit.node->exit()->leases(), 1u);
  net.serve(middle, Service::closed);
  EXPECT_EQ(middle.node->relay()->legs(), 0u);
  size_t forgotten = 0;
  net.command(exit, [&](Node& n, Effects& fx) {
    n.set_service(net.now, Service::closed, fx);
    for (const ExitLease& l : fx.exit_leases) forgotten += !l.mtu.has_value();
  });
  EXPECT_EQ(forgotten, 1u) << "the exit's connections are closed too";
  EXPECT_EQ(exit.node->exit()->leases(), 0u);
  net.check_all();
}

TEST(RelayOperator, AClientThatEndsGivesEverythingBack) {
  OperatorNet net({.spare_circuits = 2});
  ASSERT_NE(net.connect(), nullptr);
  net.run_for(3s);
  net.command(net.client(), [&](Node& n, Effects& fx) { n.say_goodbye(net.now, fx); });
  net.client().dead = true;
  net.run_for(1s);
  for (auto& [name, h] : net.hosts) {
    if (!h->config.relay) continue;
    EXPECT_EQ(h->node->relay()->legs(), 0u) << name;
    EXPECT_EQ(h->node->exit()->leases(), 0u) << name;
  }
}

TEST(RelayOperator, ACircuitThatEndsIsClosedAtEveryRelay) {
  OperatorNet net({.hops = 5, .spare_circuits = 0});
  ASSERT_NE(net.connect(), nullptr);
  net.detach(net.client(), kTun);
  net.run_for(1s);
  for (auto& [name, h] : net.hosts) {
    if (!h->config.relay) continue;
    EXPECT_EQ(h->node->relay()->legs() + h->node->exit()->leases(), 0u) << name;
  }
}

TEST(RelayOperator, TheCapHoldsForWhatIsRelayedAndNeverForHandshakes) {
  OperatorNet net;
  for (auto& [name, h] : net.hosts) {
    if (!h->config.relay || h->config.relay->exit) continue;
    h->config.relay->cap = Bandwidth{100'000};
    net.restart(*h);
  }
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  const std::vector<Hop> hops = c->hops;  // the circuit may not outlive what comes
  auto& guard = net.host_of(hops[0]);
  const uint64_t before = guard.node->resources().bytes();
  // No packet that a circuit could become too narrow for, when the cap swallows whatever is large.
  const auto big = udp_packet("10.10.0.2", "192.0.2.1", 540);
  for (int i = 0; i < 10'000; i++) {  // 1.1 MB/s for ten seconds
    for (int n = 0; n < 2; n++) net.send_from_program(net.client(), kTun, big);
    net.run_for(1ms);
  }
  const uint64_t carried = guard.node->resources().bytes() - before;
  EXPECT_LT(carried, 1'000'000 * 1.05 + 65'536);
  EXPECT_GT(carried, 900'000u);
  EXPECT_GT(guard.node->resources().dropped(), 1000u);
  // While it is full: a circuit of somebody else comes up through the same guard.
  auto& other = net.add_client("other", "192.0.2.60", {.pinned_path = {hops[0].relay.id, hops[1].relay.id, hops[2].relay.id},
                                                       .spare_circuits = 0});
  net.publish();
  net.attach(other, kTun);
  for (int i = 0; i < 500 && net.active(other, kTun) == nullptr; i++) {
    net.send_from_program(net.client(), kTun, big);
    net.run_for(1ms);
  }
  EXPECT_NE(net.active(other, kTun), nullptr);
  net.check_all();
}

TEST(RelayOperator, TheCapHoldsForWhatAnExitSendsAndGets) {
  OperatorNet net;
  for (const char* name : {"e0", "e1"}) {
    net.hosts[name]->config.relay->cap = Bandwidth{100'000};
    net.restart(*net.hosts[name]);
  }
  const Circuit* c = net.connect();
  ASSERT_NE(c, nullptr);
  auto& exit = net.host_of(c->exit());
  const uint64_t before = exit.node->resources().bytes();
  for (int i = 0; i < 5'000; i++) {
    net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 1200));
    net.run_for(1ms);
  }
  ASSERT_FALSE(exit.exit.empty());
  auto answer = exit.exit[0];
  std::swap_ranges(answer.begin() + 12, answer.begin() + 16, answer.begin() + 16);
  for (int i = 0; i < 5'000; i++) {
    net.send_from_exit(exit, answer);
    net.run_for(1ms);
  }
  const uint64_t carried = exit.node->resources().bytes() - before;
  EXPECT_LT(carried, 1'000'000 * 1.05 + 65'536);
  EXPECT_GT(carried, 900'000u);
}

TEST(RelayOperator, TheNumberOfCircuitsHoldsUnderLoad) {
  OperatorNet net;
  auto& relay = *net.hosts["r1"];
  limit_tables(relay.config, 3, 0);
  net.restart(relay);
  net.publish();
  const auto id_of = [&](const char* name) { return discovery::peer_id_of(net.hosts[name]->config.identity->pub); };
  size_t ready = 0;
  for (int i = 0; i < 8; i++) {
    auto& c = net.add_client("c" + std::to_string(i), "192.0.2." + std::to_string(100 + i),
                             {.pinned_path = {id_of("r0"), id_of("r1"), id_of("e0")}, .spare_circuits = 0});
    net.publish();
    net.attach(c, kTun);
    net.run_for(1s);
    ready += net.active(c, kTun) != nullptr;
    EXPECT_LE(relay.node->relay()->legs(), 3u);
  }
  EXPECT_EQ(ready, 3u);
  net.check_all();
}

TEST(RelayOperator, MemoryLimitsTheTables) {
  NodeConfig c;
  limit_tables(c, 0, 0);
  EXPECT_EQ(c.legs.total, routing::LegLimits{}.total) << "nothing said";
  limit_tables(c, 0, 80u << 20);
  EXPECT_EQ(c.legs.total, (32u << 20) / kCircuitCost);
  EXPECT_EQ(c.leases.leases, 16'384u);
  EXPECT_LT(c.tunnels.ephemeral_peers, c.legs.total * 4 / 3);
  limit_tables(c, 100, 0);
  EXPECT_EQ(c.legs.total, 100u);
  EXPECT_EQ(c.leases.leases, 100u);
}

}  // namespace
}  // namespace macrovpn::node
