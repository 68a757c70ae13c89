// Changes to a device and its peers while it runs.
#include <gtest/gtest.h>

#include "core/encryption/loop_guard.h"
#include "core/encryption/tunnels_harness.h"

namespace macrovpn::encryption {
namespace {

IpPrefix net(const char* s) {
  return *IpPrefix::parse(s);
}

// Two devices that know each other and each other's address.
struct Changes : ::testing::Test {
  Changes() {
    wire.add(a);
    wire.add(b);
    b_at_a = *a.tunnels.add_configured(wire.now.mono, {b.keys.pub, {}, b.route(), {net("10.0.0.2")}, {}});
    a_at_b = *b.tunnels.add_configured(wire.now.mono, {a.keys.pub, {}, a.route(), {net("10.0.0.1")}, {}});
  }
  Drop send_a(const char* to = "10.0.0.2") { return wire.send(a, b_at_a, ip_packet("10.0.0.1", to)); }
  Drop send_b(const char* from = "10.0.0.2") { return wire.send(b, a_at_b, ip_packet(from, "10.0.0.1")); }
  void connect() {
    send_a();
    wire.settle();
    ASSERT_EQ(b.payloads.size(), 1u);
  }
  size_t handshakes() const { return a.sent.at(MessageType::initiation); }

  TestWire wire;
  TestNode a{1, "192.0.2.1:1000"}, b{2, "192.0.2.2:2000"};
  PeerRef b_at_a, a_at_b;
};

TEST_F(Changes, ANewPrivateKeyEndsTheSessionsAndCallsUnderTheNewName) {
  connect();
  const KeyPair fresh = crypto::x25519_generate(a.rng);
  a.tunnels.set_identity(fresh);
  EXPECT_EQ(a.tunnels.public_key(), fresh.pub);
  EXPECT_FALSE(a.tunnels.info(b_at_a)->established);
  EXPECT_EQ(send_a(), Drop::staged);  // a handshake starts at once, not five seconds after the last
  wire.settle();
  EXPECT_EQ(handshakes(), 2u);
  EXPECT_EQ(b.drops[Drop::unknown_peer], 1u);  // whom b does not know
  ASSERT_TRUE(b.tunnels.add_configured(wire.now.mono, {fresh.pub, {}, {}, {net("10.0.0.1")}, {}}).ok());
  wire.advance(6s);
  EXPECT_EQ(b.payloads.size(), 2u);
}

TEST_F(Changes, TheSamePrivateKeyAgainChangesNothing) {
  connect();
  a.tunnels.set_identity(a.keys);
  EXPECT_EQ(send_a(), Drop::none);
}

TEST_F(Changes, APeerWhoseKeyBecomesOurOwnIsRemoved) {
  const auto other = crypto::x25519_generate(a.rng);
  ASSERT_TRUE(a.tunnels.add_configured(wire.now.mono, {other.pub, {}, {}, {net("10.0.0.9")}, {}}).ok());
  a.tunnels.set_identity(other);
  EXPECT_EQ(a.tunnels.peers(), std::vector{b_at_a});
  EXPECT_EQ(a.tunnels.route_to(*IpAddress::parse("10.0.0.9")), PeerRef{});
  a.tunnels.check_invariants();
}

TEST_F(Changes, WithoutAPrivateKeyNobodyIsCalledOrAnswered) {
  a.tunnels.set_identity({});
  EXPECT_EQ(send_a(), Drop::staged);
  wire.advance(20s);
  EXPECT_EQ(a.sent[MessageType::initiation], 0u);
  send_b();
  wire.settle();
  EXPECT_EQ(a.sent[MessageType::response], 0u);
  a.tunnels.set_identity(a.keys);
  send_b();
  wire.advance(6s);
  EXPECT_EQ(a.payloads.size(), 2u);
}

// Everybody knows the zero secret: under it anybody could speak for any peer.
TEST_F(Changes, WhoCallsADeviceWithoutAKeyUnderItsZeroKeyGetsNoAnswer) {
  a.tunnels.set_identity({});
  TestNode liar{5, "192.0.2.5:5"};
  wire.add(liar);
  const KeyPair zero = crypto::x25519_from_secret({});
  for (const PublicKey& key : {PublicKey{}, zero.pub}) {
    const auto made = liar.tunnels.add_configured(wire.now.mono, {key, {}, a.route(), {net("10.0.0.1")}, {}});
    wire.send(liar, *made, ip_packet("10.0.0.2", "10.0.0.1"));
    wire.settle();
  }
  EXPECT_EQ(a.drops[Drop::unknown_peer], 1u);  // and a key of low order calls nobody
  EXPECT_TRUE(a.sent.empty());
}

TEST_F(Changes, AnEndpointMovesTheSessionWithoutAHandshake) {
  connect();
  TestNode elsewhere{9, "198.51.100.9:9"};
  wire.move(b, "198.51.100.9:9");
  Out out;
  a.tunnels.set_endpoint(wire.now, b_at_a, b.route(), out);
  EXPECT_EQ(send_a(), Drop::none);
  wire.settle();
  EXPECT_EQ(b.payloads.size(), 2u);
  EXPECT_EQ(handshakes(), 1u);
}

TEST_F(Changes, WhatWaitedForAnEndpointGoesWhenItIsKnown) {
  const auto key = crypto::x25519_generate(a.rng);
  TestNode c{7, "192.0.2.7:7"};
  wire.add(c);
  const PeerRef ref = *a.tunnels.add_configured(wire.now.mono, {c.keys.pub, {}, {}, {net("10.0.0.7")}, {}});
  ASSERT_TRUE(c.tunnels.add_configured(wire.now.mono, {a.keys.pub, {}, {}, {net("10.0.0.1")}, {}}).ok());
  EXPECT_EQ(wire.send(a, ref, ip_packet("10.0.0.1", "10.0.0.7")), Drop::staged);
  Out out;
  a.tunnels.set_endpoint(wire.now, ref, c.route(), out);
  wire.take(a, out);
  wire.settle();
  EXPECT_EQ(c.payloads.size(), 1u);
}

TEST_F(Changes, APresharedKeyCountsFromTheNextHandshakeOn) {
  connect();
  const Secret<32> psk(ByteArray<32>{7});
  a.tunnels.set_preshared(b_at_a, psk);
  EXPECT_EQ(a.tunnels.configuration(b_at_a)->preshared, psk);
  EXPECT_EQ(send_a(), Drop::none);
  wire.advance(121s);
  send_a();
  wire.settle();
  EXPECT_EQ(a.drops[Drop::bad_handshake], 1u);
  b.tunnels.set_preshared(a_at_b, psk);
  wire.advance(6s);
  EXPECT_GE(a.count<SessionUp>(), 2u);
}

TEST_F(Changes, AllowedIpsOfALivePeerFilterAtOnce) {
  connect();
  send_b("10.9.9.9");
  wire.settle();
  EXPECT_EQ(a.drops[Drop::not_allowed_ip], 1u);
  EXPECT_TRUE(a.tunnels.allow(b_at_a, net("10.9.0.0/16")));
  send_b("10.9.9.9");
  wire.settle();
  EXPECT_EQ(a.payloads.size(), 1u);
  EXPECT_EQ(a.tunnels.configuration(b_at_a)->allowed_ips, (std::vector{net("10.0.0.2"), net("10.9.0.0/16")}));
  a.tunnels.disallow(b_at_a, net("10.9.0.0/16"));
  EXPECT_EQ(a.tunnels.route_to(*IpAddress::parse("10.9.9.9")), PeerRef{});
  a.tunnels.disallow_all(b_at_a);
  send_b();
  wire.settle();
  EXPECT_EQ(a.payloads.size(), 1u);
  EXPECT_EQ(a.drops[Drop::not_allowed_ip], 2u);
  EXPECT_EQ(handshakes(), 1u);
}

TEST_F(Changes, TakingAPrefixFromSomebodyElseDoesNothing) {
  const auto other = crypto::x25519_generate(a.rng);
  const PeerRef ref = *a.tunnels.add_configured(wire.now.mono, {other.pub, {}, {}, {}, {}});
  a.tunnels.disallow(ref, net("10.0.0.2"));
  EXPECT_EQ(a.tunnels.route_to(*IpAddress::parse("10.0.0.2")), b_at_a);
}

TEST_F(Changes, APersistentKeepaliveTurnedOnIsSentAtOnceAndTurnedOffStops) {
  connect();
  wire.advance(30s);
  const size_t before = b.keepalives;
  a.tunnels.set_persistent_keepalive(wire.now.mono, b_at_a, 25s);
  wire.advance(1ms);
  EXPECT_EQ(b.keepalives, before + 1);
  wire.advance(60s);
  EXPECT_EQ(b.keepalives, before + 3);
  a.tunnels.set_persistent_keepalive(wire.now.mono, b_at_a, 5s);
  wire.advance(11s);
  EXPECT_EQ(b.keepalives, before + 5);
  a.tunnels.set_persistent_keepalive(wire.now.mono, b_at_a, 0s);
  wire.advance(100s);
  EXPECT_EQ(b.keepalives, before + 5);
}

TEST_F(Changes, ADeviceThatGoesDownForgetsKeysAndOneThatComesUpCallsAgain) {
  connect();
  a.tunnels.set_persistent_keepalive(wire.now.mono, b_at_a, 25s);
  wire.advance(1s);
  a.tunnels.pause_configured();
  a.tunnels.check_invariants();
  EXPECT_FALSE(a.tunnels.info(b_at_a)->established);
  const size_t calls = handshakes();
  wire.advance(100s);
  EXPECT_EQ(handshakes(), calls);  // a device that is down is silent
  a.tunnels.resume_configured(wire.now.mono);
  wire.advance(1s);
  EXPECT_EQ(handshakes(), calls + 1);
  EXPECT_TRUE(a.tunnels.info(b_at_a)->established);
}

TEST_F(Changes, PaddingFollowsTheMtuOfTheDevice) {
  connect();
  a.tunnels.set_mtu(1290);
  wire.send(a, b_at_a, ip_packet("10.0.0.1", "10.0.0.2", 1285));
  EXPECT_EQ(wire.seen.back().bytes.size(), 1290u + 32);
}

TEST_F(Changes, APeerOfLowOrderMayBeConfiguredAndIsNeverCalled) {
  const auto ref =
      a.tunnels.add_configured(wire.now.mono, {PublicKey{}, {}, b.route(), {net("10.0.0.3")}, {}});
  ASSERT_TRUE(ref.ok());
  EXPECT_EQ(wire.send(a, *ref, ip_packet("10.0.0.1", "10.0.0.3")), Drop::staged);
  wire.advance(20s);
  EXPECT_TRUE(a.sent.empty());
}

// ---- loops

std::vector<uint8_t> udp_packet(const Endpoint& from, const Endpoint& to, Bytes payload) {
  std::vector<uint8_t> p =
      ip_packet(from.address.reveal().c_str(), to.address.reveal().c_str(), 28 + payload.size());
  p[9] = 17;
  store_be16(&p[20], from.port);
  store_be16(&p[22], to.port);
  std::copy(payload.begin(), payload.end(), p.begin() + 28);
  return p;
}

std::vector<uint8_t> udp6_packet(const Endpoint& from, const Endpoint& to, Bytes payload, uint16_t fragment) {
  std::vector<uint8_t> p(56 + payload.size());
  p[0] = 0x60;
  p[6] = 44;
  std::copy(to.address.bytes().begin(), to.address.bytes().end(), p.begin() + 24);
  p[40] = 17;
  store_be16(&p[42], fragment);
  store_be32(&p[44], 0xabcdef);
  store_be16(&p[48], from.port);
  store_be16(&p[50], to.port);
  std::copy(payload.begin(), payload.end(), p.begin() + 56);
  return p;
}

struct Loops : Changes {
  Loops() { guard.set_listen_port(1000); }
  // The last datagram that a sent, as it would come back.
  std::vector<uint8_t> last() {
    return udp_packet(a.at, wire.seen.back().to.endpoint, wire.seen.back().bytes);
  }
  LoopGuard guard{a.tunnels};
};

TEST_F(Loops, AnInitiationThatComesBackIsDropped) {
  a.tunnels.allow(b_at_a, net("192.0.2.2"));
  wire.passes = [](const Flying&) { return false; };
  send_a();
  EXPECT_TRUE(guard.is_loop(last()));
  guard.set_listen_port(999);
  EXPECT_FALSE(guard.is_loop(last()));
}

TEST_F(Loops, DataThatComesBackIsDroppedAndWhatOthersSendThereIsNot) {
  connect();
  a.tunnels.allow(b_at_a, net("0.0.0.0/0"));
  send_a();
  EXPECT_TRUE(guard.is_loop(last()));
  // The same port and place, and another session: somebody else's WireGuard that goes through this tunnel.
  wire.seen.back().bytes[4] ^= 1;
  EXPECT_FALSE(guard.is_loop(last()));
  EXPECT_FALSE(guard.is_loop(udp_packet(a.at, b.at, {})));
  EXPECT_FALSE(guard.is_loop(ip_packet("10.0.0.1", "10.0.0.2")));
}

TEST_F(Loops, ATunnelInATunnelIsNone) {
  connect();
  const auto inner = crypto::x25519_generate(a.rng);
  const Endpoint inside = *Endpoint::parse("10.0.0.2:5");
  const PeerRef ref = *a.tunnels.add_configured(
      wire.now.mono, {inner.pub, {}, Route::udp(kListenSocket, inside, kPlain), {net("10.8.0.0/16")}, {}});
  wire.send(a, ref, ip_packet("10.0.0.1", "10.8.0.1"));
  EXPECT_FALSE(guard.is_loop(last()));
  // Even where the outer one takes everything, its own endpoint too: the kernel knows another way there.
  a.tunnels.allow(b_at_a, net("0.0.0.0/0"));
  EXPECT_FALSE(guard.is_loop(last()));
  // Until the two go round each other.
  a.tunnels.allow(ref, net("192.0.2.0/24"));
  EXPECT_TRUE(guard.is_loop(last()));
}

TEST_F(Loops, FragmentsOfWhatIsDroppedAreDroppedToo) {
  connect();
  a.tunnels.allow(b_at_a, net("0.0.0.0/0"));
  send_a();
  auto first = last();
  auto later = first;
  store_be16(&first[4], 77);
  store_be16(&first[6], 0x2000);
  store_be16(&later[4], 77);
  store_be16(&later[6], 100);
  EXPECT_FALSE(guard.is_loop(later));  // of somebody else, so far
  EXPECT_TRUE(guard.is_loop(first));
  EXPECT_TRUE(guard.is_loop(later));
  store_be16(&later[4], 78);
  EXPECT_FALSE(guard.is_loop(later));
}

TEST_F(Loops, AreFoundOverIpv6) {
  connect();
  const Endpoint to = *Endpoint::parse("[2001:db8::2]:2000");
  Out out;
  a.tunnels.set_endpoint(wire.now, b_at_a, Route::udp(kListenSocket, to, kPlain), out);
  a.tunnels.allow(b_at_a, net("::/0"));
  send_a();
  EXPECT_TRUE(guard.is_loop(udp6_packet(a.at, to, wire.seen.back().bytes, 1)));
  EXPECT_TRUE(guard.is_loop(udp6_packet(a.at, to, wire.seen.back().bytes, 8)));
  const Endpoint other = *Endpoint::parse("[2001:db8::3]:2000");
  EXPECT_FALSE(guard.is_loop(udp6_packet(a.at, other, wire.seen.back().bytes, 1)));
}

TEST_F(Loops, ShortPacketsAreNone) {
  connect();
  a.tunnels.allow(b_at_a, net("0.0.0.0/0"));
  send_a();
  const auto whole = last();
  for (size_t n = 0; n < 36; n++) EXPECT_FALSE(guard.is_loop(Bytes(whole).first(n)));
  EXPECT_TRUE(guard.is_loop(Bytes(whole).first(36)));
}

}  // namespace
}  // namespace macrovpn::encryption
