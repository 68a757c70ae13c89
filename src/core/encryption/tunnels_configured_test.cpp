// Two and more Tunnels against each other: handshakes and data of configured peers.
#include "core/encryption/tunnels.h"

#include <gtest/gtest.h>

#include "core/encryption/tunnels_harness.h"

namespace macrovpn::encryption {
namespace {

// Two devices that know each other.
struct Pair {
  explicit Pair(const Secret<32>& psk = {}, Duration persistent = Duration::zero()) {
    wire.add(a);
    wire.add(b);
    const auto net = [](const char* s) { return *IpPrefix::parse(s); };
    b_at_a = *a.tunnels.add_configured(
        wire.now.mono, {b.keys.pub, psk, b.route(), {net("10.0.0.2"), net("fd00::2")}, persistent});
    a_at_b = *b.tunnels.add_configured(wire.now.mono, {a.keys.pub, psk, Route{}, {net("10.0.0.1")}, {}});
  }
  Drop send_a(size_t size = 28) { return wire.send(a, b_at_a, ip_packet("10.0.0.1", "10.0.0.2", size)); }
  Drop send_b(size_t size = 28) { return wire.send(b, a_at_b, ip_packet("10.0.0.2", "10.0.0.1", size)); }

  TestWire wire;
  TestNode a{1, "192.0.2.1:1000"}, b{2, "192.0.2.2:2000"};
  PeerRef b_at_a, a_at_b;
};

TEST(ConfiguredPeers, AStagedPacketStartsAHandshakeAndFollowsIt) {
  Pair p;
  EXPECT_EQ(p.send_a(), Drop::no_session);
  p.wire.settle();
  ASSERT_EQ(p.b.payloads.size(), 1u);
  EXPECT_EQ(p.b.payloads[0], ip_packet("10.0.0.1", "10.0.0.2"));
  EXPECT_EQ(p.a.count<SessionUp>(), 1u);
  EXPECT_EQ(p.b.count<SessionUp>(), 1u);
  EXPECT_EQ(p.send_b(), Drop::none);  // b learnt where a is
  p.wire.settle();
  EXPECT_EQ(p.a.payloads.size(), 1u);
  EXPECT_EQ(p.a.tunnels.info(p.b_at_a)->handshake_hash, p.b.tunnels.info(p.a_at_b)->handshake_hash);
  EXPECT_EQ(p.a.tunnels.info(p.b_at_a)->h1, p.b.tunnels.info(p.a_at_b)->h1);
}

}  // namespace
}  // namespace macrovpn::encryption
