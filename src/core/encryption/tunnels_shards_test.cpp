// Tunnels as one shard of a device whose configured peers are spread over several.
#include <gtest/gtest.h>

#include "core/encryption/loop_guard.h"
#include "core/encryption/tunnels_harness.h"

namespace macrovpn::encryption {
namespace {

IpPrefix net(const char* s) {
  return *IpPrefix::parse(s);
}
constexpr PeerRef kTheirs{uint64_t{1} << 60 | uint64_t{1} << 24};  // a peer of shard 1; those of the harness are shard 3
constexpr ShardId kOther{1};

struct DeviceShard : ::testing::Test {
  DeviceShard() {
    for (TestNode* n : {&a, &b, &c}) wire.add(*n);
    b_at_a = *a.tunnels.add_configured(wire.now.mono, {b.keys.pub, {}, b.route(), {net("10.0.0.0/8")}, {}});
    a_at_b = *b.tunnels.add_configured(wire.now.mono, {a.keys.pub, {}, a.route(), {net("10.9.0.1")}, {}});
    a_at_c = *c.tunnels.add_configured(wire.now.mono, {a.keys.pub, {}, a.route(), {net("10.9.0.1")}, {}});
  }
  Drop send_b(const char* from) {
    wire.send(b, a_at_b, ip_packet(from, "10.9.0.1"));
    const size_t before = a.drops[Drop::not_allowed_ip];
    wire.settle();
    return a.drops[Drop::not_allowed_ip] != before ? Drop::not_allowed_ip : Drop::none;
  }
  // What a makes of an initiation of c's.
  Result<Accepted, Drop> call_by_c(bool handed_over, Out& out) {
    const auto made = c.tunnels.start_handshake(wire.now, a_at_c);
    Caller caller{.from = c.route(), .datagram_size = 148};
    caller.handed_over = handed_over;
    return a.tunnels.on_initiation(wire.now, caller, made->message, {}, out);
  }

  TestWire wire;
  TestNode a{1, "192.0.2.1:1000"}, b{2, "192.0.2.2:2000"}, c{3, "192.0.2.3:3000"};
  PeerRef b_at_a, a_at_b, a_at_c;
};

TEST_F(DeviceShard, RoutesToPeersOfOthersByTheLongestPrefixOfAll) {
  EXPECT_TRUE(a.tunnels.allow(kTheirs, net("10.1.0.0/16")));
  EXPECT_EQ(a.tunnels.route_to(*IpAddress::parse("10.1.2.3")), kTheirs);
  EXPECT_EQ(a.tunnels.route_to(*IpAddress::parse("10.2.2.3")), b_at_a);
  a.tunnels.disallow(kTheirs, net("10.1.0.0/16"));
  EXPECT_EQ(a.tunnels.route_to(*IpAddress::parse("10.1.2.3")), b_at_a);
  a.tunnels.allow(kTheirs, net("10.1.0.0/16"));
  a.tunnels.disallow_all(kTheirs);
  EXPECT_EQ(a.tunnels.route_to(*IpAddress::parse("10.1.2.3")), b_at_a);
}

TEST_F(DeviceShard, APeerMayNotSpeakAsOneOfAnotherShard) {
  EXPECT_EQ(send_b("10.1.0.1"), Drop::none);
  a.tunnels.allow(kTheirs, net("10.1.0.0/16"));
  EXPECT_EQ(send_b("10.1.0.1"), Drop::not_allowed_ip);
  EXPECT_EQ(send_b("10.2.0.1"), Drop::none);
  a.tunnels.disallow_all(kTheirs);
  EXPECT_EQ(send_b("10.1.0.1"), Drop::none);
}

TEST_F(DeviceShard, AddressesOfNobodyAreNobodys) {
  a.tunnels.allow(PeerRef{}, net("10.1.0.0/16"));
  EXPECT_EQ(a.tunnels.route_to(*IpAddress::parse("10.1.2.3")), b_at_a);
}

TEST_F(DeviceShard, NamesTheOwnerOfAnInitiationAndDoesNothing) {
  a.tunnels.keep_elsewhere(c.keys.pub, kOther);
  Out out;
  const auto accepted = call_by_c(false, out);
  ASSERT_TRUE(accepted.ok());
  EXPECT_EQ(accepted->elsewhere, kOther);
  EXPECT_TRUE(out.messages.empty() && out.events.empty());
  a.tunnels.check_invariants();
  wire.advance(1s);
  const auto handed = call_by_c(true, out);  // its owner thinks that it is ours: nobody's
  EXPECT_EQ(handed.error(), Drop::unknown_peer);
  a.tunnels.forget_elsewhere(c.keys.pub);
  wire.advance(1s);
  EXPECT_EQ(call_by_c(false, out).error(), Drop::unknown_peer);
}

TEST_F(DeviceShard, LetsInNoMoreOfOthersPeersThanOfItsOwn) {
  a.tunnels.keep_elsewhere(c.keys.pub, kOther);
  Out out;
  size_t named = 0;
  for (int i = 0; i < 20; i++) {
    const auto said = call_by_c(false, out);
    named += said.ok();
    EXPECT_TRUE(said.ok() || said.error() == Drop::cookie_required);
  }
  EXPECT_EQ(named, 5u);  // the burst of one address
}

TEST_F(DeviceShard, WhatWasHandedOverIsNotCountedAgain) {
  Out out;
  for (int i = 0; i < 20; i++) {
    wire.advance(30ms);
    ASSERT_TRUE(a.tunnels.add_configured(wire.now.mono, {c.keys.pub, {}, {}, {}, {}}).ok());
    EXPECT_TRUE(call_by_c(true, out).ok()) << i;
    a.tunnels.remove(*a.tunnels.find_configured(c.keys.pub));
  }
}

TEST_F(DeviceShard, SaysWhenAPeerMoves) {
  send_b("10.1.0.1");
  EXPECT_EQ(a.count<PeerMoved>(), 0u);
  EXPECT_EQ(a.tunnels.trace_of(b_at_a)->endpoint, b.at);
  wire.move(b, "192.0.2.22:2222");
  send_b("10.1.0.1");
  EXPECT_EQ(a.count<PeerMoved>(), 1u);
  EXPECT_EQ(a.tunnels.trace_of(b_at_a)->endpoint, b.at);
  send_b("10.1.0.1");
  EXPECT_EQ(a.count<PeerMoved>(), 1u);
}

// A peer of another shard, reached through b, and b through it: a circle that no shard sees alone.
struct OtherShard final : OtherShards {
  Endpoint at = *Endpoint::parse("192.0.2.77:7");
  PeerRef sent_to(const Endpoint& to, Bytes) const override { return to == at ? kTheirs : PeerRef{}; }
  std::optional<Endpoint> endpoint_of(PeerRef p) const override {
    return p == kTheirs ? std::optional(at) : std::nullopt;
  }
};

TEST_F(DeviceShard, ACircleThroughTwoShardsIsCut) {
  a.tunnels.disallow_all(b_at_a);
  a.tunnels.allow(b_at_a, net("192.0.2.77/32"));
  a.tunnels.allow(kTheirs, net("192.0.2.2/32"));
  const OtherShard others;
  LoopGuard alone(a.tunnels), guard(a.tunnels, &others);
  alone.set_listen_port(1000);
  guard.set_listen_port(1000);
  std::vector<uint8_t> p = ip_packet("192.0.2.1", "192.0.2.77", 28 + 32);
  p[9] = 17;
  store_be16(&p[20], 1000);
  store_be16(&p[22], others.at.port);
  p[28] = 4;
  EXPECT_TRUE(guard.is_loop(p));
  EXPECT_FALSE(alone.is_loop(p));
  a.tunnels.disallow_all(kTheirs);  // b is reached elsewhere: a tunnel in a tunnel
  EXPECT_FALSE(guard.is_loop(p));
}

}  // namespace
}  // namespace macrovpn::encryption
