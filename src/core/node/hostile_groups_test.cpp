// Two groups of one client at one exit: nothing that the exit or the middle sees says that they belong
// together.
#include <gtest/gtest.h>

#include <set>

#include "core/node/hostile_world_test.h"

namespace macrovpn::node {
namespace {

constexpr TunId kWork{7}, kHome{8};

TEST(GroupsApart, ShareNothingAtOneExitAndOneMiddle) {
  HostileNet net({.spare_circuits = 0}, 1, 1);
  net.client().config.client->pinned_path = {net.id_of(*net.hosts["r0"]), net.id_of(*net.hosts["r1"]),
                                             net.id_of(*net.hosts["e0"])};
  net.restart(net.client());
  net.publish();
  const Circuit *a = net.connect(net.client(), kWork), *b = net.connect(net.client(), kHome);
  ASSERT_TRUE(a != nullptr && b != nullptr && a != b);
  net.run_for(3s);
  auto& exit = *net.hosts["e0"];

  // Static keys, session keys (by the final handshake hash), leases and their secrets.
  const encryption::Tunnels& t = net.client().node->tunnels();
  for (size_t hop = 1; hop < 3; hop++) {
    EXPECT_NE(a->hops[hop].our_key, b->hops[hop].our_key) << hop;
    EXPECT_NE(a->hops[hop].peer, b->hops[hop].peer) << hop;
    EXPECT_NE(t.info(a->hops[hop].peer)->handshake_hash, t.info(b->hops[hop].peer)->handshake_hash) << hop;
    EXPECT_NE(a->hops[hop].leg, b->hops[hop].leg) << hop;
  }
  EXPECT_EQ(a->hops[0].peer, b->hops[0].peer);  // the guard knows them as one client's anyway
  EXPECT_NE(a->lease, b->lease);
  EXPECT_FALSE(a->lease_secret == b->lease_secret);
  EXPECT_EQ(exit.node->exit()->leases(), 2u);
  EXPECT_EQ(exit.node->tunnels().ephemeral_count(), 2u);
  EXPECT_EQ(net.hosts["r1"]->node->tunnels().ephemeral_count(), 2u);
  EXPECT_EQ(net.hosts["r0"]->node->tunnels().ephemeral_count(), 1u);

  // Addresses; the DNS cache and all else at the exit go by the lease's number, which is in them.
  net.send_from_program(net.client(), kWork, udp_packet("10.10.0.2", "192.0.2.1", 100));
  net.send_from_program(net.client(), kHome, udp_packet("10.10.0.2", "192.0.2.1", 100));
  net.run_for(200ms);
  ASSERT_EQ(exit.exit.size(), 2u);
  const auto source = [&](size_t i) { return Buffer(exit.exit[i].begin() + 12, exit.exit[i].begin() + 16); };
  EXPECT_NE(source(0), source(1));

  // An answer for one reaches that one only.
  Buffer answer = exit.exit[0];
  std::swap_ranges(answer.begin() + 12, answer.begin() + 16, answer.begin() + 16);
  net.client().tun.clear();
  net.send_from_exit(exit, answer);
  net.run_for(200ms);
  EXPECT_EQ(net.client().tun.size(), 1u);
  EXPECT_EQ(a->rx_bytes, answer.size());
  EXPECT_EQ(b->rx_bytes, 0u);
}

TEST(GroupsApart, KeepApartWhenTheyHopAndWhenTheyEnd) {
  HostileNet net({.spare_circuits = 0}, 2, 1);
  net.publish();
  ASSERT_NE(net.connect(net.client(), kWork), nullptr);
  ASSERT_NE(net.connect(net.client(), kHome), nullptr);
  std::set<PublicKey> keys;
  size_t seen = 0;
  for (int i = 0; i < 5; i++) {
    net.run_for(10s);
    for (const TunId tun : {kWork, kHome}) {
      const Circuit* c = net.active(net.client(), tun);
      ASSERT_NE(c, nullptr);
      for (size_t hop = 1; hop < 3; hop++) keys.insert(c->hops[hop].our_key), seen++;
    }
    net.hop(net.client());
  }
  EXPECT_EQ(keys.size(), seen);  // no key of a later hop is used twice
  net.run_for(10s);
  EXPECT_EQ(net.count<LeaseLost>(net.client()), 0u);
  EXPECT_EQ(net.hosts["e0"]->node->exit()->leases(), 2u);
  net.detach(net.client(), kHome);
  net.run_for(1s);
  EXPECT_EQ(net.hosts["e0"]->node->exit()->leases(), 1u);
  EXPECT_TRUE(net.active(net.client(), kWork)->granted);
  size_t legs = 0;
  for (auto& [name, h] : net.hosts) legs += h->config.relay ? h->node->relay()->legs() : 0;
  EXPECT_EQ(legs, 2u);  // of the group that is left: every relay of the other's circuits was told
}

}  // namespace
}  // namespace macrovpn::node
