// Configured peers that all have the same inside address (ConfiguredPeer::shared_sources).
#include <gtest/gtest.h>

#include "core/encryption/tunnels_harness.h"

namespace macrovpn::encryption {
namespace {

// Two callers of one address, and the node that both call.
struct SharedSources : testing::Test {
  TestWire wire;
  TestNode node{1, "192.0.2.1:1000"};
  TestNode callers[2] = {{2, "192.0.2.2:2000"}, {3, "192.0.2.3:3000"}};
  PeerRef caller_at_node[2], node_at_caller[2];

  void SetUp() override {
    wire.add(node);
    for (int i = 0; i < 2; i++) {
      wire.add(callers[i]);
      ConfiguredPeer caller;
      caller.key = callers[i].keys.pub;
      caller.shared_sources = {*IpAddress::parse("10.0.0.2"), *IpAddress::parse("fd00::2")};
      caller_at_node[i] = *node.tunnels.add_configured(wire.now.mono, caller);
      ConfiguredPeer called;
      called.key = node.keys.pub;
      called.route = node.route();
      called.allowed_ips = {*IpPrefix::parse("0.0.0.0/0")};
      node_at_caller[i] = *callers[i].tunnels.add_configured(wire.now.mono, called);
    }
  }
  void send(int i, const char* source) {
    wire.send(callers[i], node_at_caller[i], ip_packet(source, "192.0.2.80"));
    wire.settle();
  }
};

TEST_F(SharedSources, EachMaySendFromTheSameAddressAndNoOther) {
  for (int i = 0; i < 2; i++) {
    send(i, "10.0.0.2");
    EXPECT_EQ(node.payloads.size(), static_cast<size_t>(i + 1));
    send(i, "10.0.0.3");
    EXPECT_EQ(node.payloads.size(), static_cast<size_t>(i + 1));
  }
  EXPECT_EQ(node.drops[Drop::not_allowed_ip], 2u);
}

TEST_F(SharedSources, NobodyIsRoutedToByThem) {
  EXPECT_EQ(node.tunnels.route_to(*IpAddress::parse("10.0.0.2")), PeerRef{});
  EXPECT_EQ(node.tunnels.configuration(caller_at_node[0])->shared_sources.size(), 2u);
  EXPECT_TRUE(node.tunnels.configuration(caller_at_node[0])->allowed_ips.empty());
}

TEST_F(SharedSources, GiveNothingToAPeerThatHasNone) {
  SeededRng rng(5);
  ConfiguredPeer owner;
  owner.key = crypto::x25519_generate(rng).pub;
  owner.allowed_ips = {*IpPrefix::parse("10.0.0.7")};
  ASSERT_TRUE(node.tunnels.add_configured(wire.now.mono, owner).ok());
  send(0, "10.0.0.2");
  send(0, "10.0.0.7");
  EXPECT_EQ(node.payloads.size(), 1u);
}

}  // namespace
}  // namespace macrovpn::encryption
