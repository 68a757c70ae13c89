// What strangers can make a relay do, hold, or refuse to others.
#include <gtest/gtest.h>

#include "core/node/hostile_world_test.h"

namespace macrovpn::node {
namespace {

using encryption::Drop;

constexpr TunId kTun{7};

// A relay answers; it never calls, wakes or keeps alive a client.
TEST(Relay, NeverSpeaksFirstToAnEphemeralPeer) {
  HostileNet net;
  net.publish();
  ASSERT_NE(net.connect(net.client(), kTun), nullptr);
  size_t initiations = 0, to_client = 0;
  net.sends = [&](const TestWorld::Host& from, const Datagram& d) {
    if (!from.config.relay) return;
    Buffer bytes(d.packet.bytes().begin(), d.packet.bytes().end());
    const bool plain = encryption::is_message(bytes);
    initiations += (plain || net.mask_of(from).unmask(bytes)) && bytes[0] == 1;
    to_client += d.remote.address == net.client().address;
  };
  // With traffic over several rekeys ...
  for (int i = 0; i < 400; i++) {
    net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
    net.run_for(1s);
  }
  EXPECT_EQ(initiations, 0u);
  EXPECT_GT(to_client, 0u);
  // ... and when the client is silent: nothing at all, until everything has lapsed.
  net.client().dead = true;
  net.run_for(1s);
  to_client = 0;
  net.run_for(std::chrono::minutes(10));
  EXPECT_EQ(initiations, 0u);
  EXPECT_EQ(to_client, 0u);
  for (auto& [name, h] : net.hosts) {
    if (h->config.relay) {
      EXPECT_EQ(h->node->tunnels().ephemeral_count(), 0u) << name;
    }
  }
}

// Packets for a lease whose session is gone are dropped: nothing is queued for a peer, and no handshake
// begun.
TEST(Relay, QueuesNothingForAPeerThatIsGone) {
  HostileNet net({.spare_circuits = 0}, 1, 1);
  net.publish();
  ASSERT_NE(net.connect(net.client(), kTun), nullptr);
  auto& exit = *net.hosts["e0"];
  net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
  net.run_for(200ms);
  ASSERT_EQ(exit.exit.size(), 1u);
  Buffer answer = exit.exit[0];
  std::swap_ranges(answer.begin() + 12, answer.begin() + 16, answer.begin() + 16);
  net.client().dead = true;
  ASSERT_TRUE(
      net.run_until([&] { return exit.node->tunnels().ephemeral_count() == 0; }, std::chrono::minutes(10)));
  EXPECT_EQ(exit.node->exit()->leases(), 1u);
  const uint64_t before = exit.bytes_out;
  for (int i = 0; i < 50; i++) net.send_from_exit(exit, answer);
  net.run_for(10s);
  EXPECT_EQ(exit.bytes_out, before);
}

// Somebody fills his share of the replay cache: he builds hop by hop from then on, everybody else in one
// round trip.
TEST(Relay, AFilledReplayCacheCostsOnlyWhoFilledIt) {
  HostileNet net({.spare_circuits = 0}, 1, 1);
  auto& guard = *net.hosts["r0"];
  const std::vector<PeerId> path = {net.id_of(guard), net.id_of(*net.hosts["r1"]),
                                    net.id_of(*net.hosts["e0"])};
  net.client().config.client->pinned_path = path;
  net.restart(net.client());
  auto& neighbour = net.add_client("neighbour", "192.0.2.66", {.pinned_path = path, .spare_circuits = 0});
  net.publish();
  Stranger s(4);
  const Endpoint from{neighbour.address, 4444};  // behind the neighbour's address
  const size_t share = encryption::EarlyReplayCache::kShareOfSource;
  for (size_t i = 0; i < share + 20; i++) {
    const auto c = s.call(net.now, guard);
    const Buffer d = s.datagram(c, s.early(net.now, c, guard.prekey, routing::write_lease({.mtu = 1280})));
    net.send_forged(from, guard, kListenSocket, net.masked(guard, d));
    s.forget(c);
    net.run_for(510ms);  // within the budget of half-open sessions, inside of the cache's 40 minutes
  }
  EXPECT_EQ(HostileNet::count(guard, Drop::early_full), 20u);
  const Circuit* mine = net.connect(net.client(), kTun);
  ASSERT_NE(mine, nullptr);
  EXPECT_FALSE(mine->hop_by_hop);
  EXPECT_EQ(mine->ready_after, 120ms);
  const Circuit* theirs = net.connect(neighbour, kTun);
  ASSERT_NE(theirs, nullptr);
  EXPECT_TRUE(theirs->hop_by_hop);
}

struct Shares : testing::Test {
  // A relay whose tables are small, and many strangers at one address, confirmed or not.
  Shares() {
    guard.config.legs = {.total = 64, .per_upstream = 8, .per_source = 16, .per_relay = 32};
    guard.config.tunnels.ephemeral_peers = 40;
    guard.config.tunnels.ephemeral_per_source = 20;
    net.restart(guard);
    net.client().config.client->pinned_path = {net.id_of(guard), net.id_of(*net.hosts["r1"]),
                                               net.id_of(*net.hosts["e0"])};
    net.restart(net.client());
    net.publish();
  }
  void build(const Endpoint& from) {
    const auto c = s.call(net.now, guard);
    ByteArray<148> garbage{1};
    store_le32(&garbage[4], ++index);
    const auto extend = routing::write_extend(net.id_of(*net.hosts["r1"]), 0,
                                              routing::write_element(garbage, {1 + index}, {}));
    const Buffer d = s.datagram(c, s.early(net.now, c, guard.prekey, extend), 900);
    net.send_forged(from, guard, kListenSocket, net.masked(guard, d));
    s.forget(c);
    net.run_for(60ms);
  }
  HostileNet net;
  TestWorld::Host& guard = *net.hosts["r0"];
  Stranger s{12};
  uint32_t index = 0;
};

TEST_F(Shares, OneAddressCannotFillTheTableOfLegs) {
  for (int i = 0; i < 18; i++) build(*Endpoint::parse("192.0.2.77:7"));
  EXPECT_EQ(guard.node->relay()->legs(), 16u);
  EXPECT_NE(net.connect(net.client(), kTun), nullptr);
  net.check_all();
}

TEST_F(Shares, OneAddressCannotFillTheTableOfSessions) {
  for (int i = 0; i < 45; i++) build(*Endpoint::parse("192.0.2.77:7"));
  EXPECT_EQ(guard.node->tunnels().ephemeral_count(), 20u);
  EXPECT_GE(HostileNet::count(guard, Drop::table_full), 20u);
  EXPECT_NE(net.connect(net.client(), kTun), nullptr);
  net.check_all();
}

// The middle, asked for by nobody's proof: what was never answered goes soon.
TEST_F(Shares, LegsThatNobodyAnsweredGoAfterTwentySeconds) {
  const Circuit* c = net.connect(net.client(), kTun);
  ASSERT_NE(c, nullptr);
  net.run_for(3s);
  const size_t legs = guard.node->relay()->legs();
  net.hosts["r2"]->dead = true;
  for (uint32_t i = 1; i <= 5; i++) {
    ByteArray<148> garbage{1};
    store_le32(&garbage[4], i);
    net.send_frame(
        net.client(), c->hops[0].peer,
        routing::write_extend(net.id_of(*net.hosts["r2"]), 0, routing::write_element(garbage, {i}, {})));
  }
  net.run_for(1s);
  EXPECT_EQ(guard.node->relay()->legs(), legs + 5);
  net.run_for(20s);
  EXPECT_EQ(guard.node->relay()->legs(), legs);
  net.run_for(60s);
  EXPECT_EQ(guard.node->relay()->legs(), legs);  // the one that carries a circuit stays
}

}  // namespace
}  // namespace macrovpn::node
