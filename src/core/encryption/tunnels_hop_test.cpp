// Hops and the ephemeral peers that they are to their relay.
#include <gtest/gtest.h>

#include "core/encryption/session.h"
#include "core/encryption/tai64n.h"
#include "core/encryption/tunnels_harness.h"

namespace macrovpn::encryption {
namespace {

constexpr ByteArray<3> kData{0x13, 0, 0};

struct Overlay {
  explicit Overlay(const TunnelLimits& limits = {}) : relay(2, "192.0.2.2:2000", limits) {
    relay.tunnels.accept_ephemeral_peers(true);
    wire.add(client);
    wire.add(relay);
    hop = add_hop();
  }
  PeerRef add_hop() {
    return *client.tunnels.add_hop(wire.now.mono,
                                   {crypto::x25519_generate(client.rng), relay.keys.pub, relay.route()});
  }
  void connect() {
    wire.call(client, hop);
    wire.settle();
  }
  PeerRef client_at_relay() const { return relay.accepted.peer; }

  TestWire wire;
  TestNode client{1, "192.0.2.1:1000"}, relay;
  PeerRef hop;
};

TEST(Hops, ConnectAndCarryDataBothWays) {
  Overlay o;
  o.connect();
  EXPECT_TRUE(o.relay.accepted.is_new);
  ASSERT_EQ(o.client.count<SessionUp>(), 1u);
  ASSERT_EQ(o.relay.count<SessionUp>(), 1u);  // by the confirming keepalive
  EXPECT_TRUE(std::get<SessionUp>(o.relay.events[0]).first);
  EXPECT_EQ(o.wire.send(o.client, o.hop, kData), Drop::none);
  EXPECT_EQ(o.wire.send(o.relay, o.client_at_relay(), kData), Drop::none);
  o.wire.settle();
  ASSERT_EQ(o.relay.payloads.size(), 1u);
  ASSERT_EQ(o.client.payloads.size(), 1u);
  EXPECT_EQ(o.relay.payloads[0].size(), 16u);  // with its padding
  EXPECT_EQ(o.relay.accepted.h1, o.client.tunnels.info(o.hop)->h1);
  EXPECT_EQ(o.client.tunnels.info(o.hop)->handshake_hash,
            o.relay.tunnels.info(o.client_at_relay())->handshake_hash);
}

TEST(Hops, TellNoTimeInTheirHandshakes) {
  EXPECT_EQ(to_hex(tai64n_of_count(1)), "400000000000000a00000001");
  EXPECT_EQ(to_hex(tai64n_of_count((uint64_t{1} << 32) + 2)), "400000000000000b00000002");
}

TEST(Hops, DoNotRetryTheFirstHandshakeAndGiveItUpAfterNinetySeconds) {
  Overlay o;
  o.wire.passes = [](const Flying&) { return false; };
  o.connect();
  o.wire.advance(89s);
  EXPECT_EQ(o.client.count<HandshakeFailed>(), 0u);
  o.wire.advance(2s);
  EXPECT_EQ(o.client.count<HandshakeFailed>(), 1u);
  EXPECT_EQ(o.client.sent[MessageType::initiation], 1u);
}

TEST(Hops, RekeyBetweenNinetyAndAHundredTwentySecondsIfDataWasSent) {
  for (uint64_t seed = 0; seed < 8; seed++) {
    Overlay o;
    o.client.rng = SeededRng(seed);
    o.connect();
    o.wire.send(o.client, o.hop, kData);
    o.wire.settle();
    o.wire.advance(89s);
    EXPECT_EQ(o.client.sent[MessageType::initiation], 1u);
    o.wire.advance(32s);
    EXPECT_EQ(o.client.sent[MessageType::initiation], 2u);
    EXPECT_EQ(o.relay.count<SessionUp>(), 2u);
    EXPECT_FALSE(std::get<SessionUp>(o.relay.events[1]).first);
    EXPECT_FALSE(o.relay.accepted.is_new);
    EXPECT_EQ(o.relay.tunnels.ephemeral_count(), 1u);
    EXPECT_EQ(std::get<SessionUp>(o.relay.events[0]).peer, o.relay.accepted.peer);  // keeps its ref
  }
}

TEST(Hops, LetAnIdleCircuitLapse) {
  Overlay o;
  o.connect();
  o.wire.advance(179s);
  EXPECT_EQ(o.client.sent[MessageType::initiation], 1u);
  EXPECT_EQ(o.relay.count<PeerGone>(), 0u);
  o.wire.advance(2s);
  EXPECT_FALSE(o.client.tunnels.info(o.hop)->established);
  EXPECT_EQ(o.wire.send(o.client, o.hop, kData), Drop::no_session);
  EXPECT_EQ(o.relay.count<PeerGone>(), 1u);
  EXPECT_EQ(o.relay.tunnels.ephemeral_count(), 0u);
  EXPECT_EQ(o.client.tunnels.next_deadline(), kNever);
  EXPECT_EQ(o.relay.tunnels.next_deadline(), kNever);
}

TEST(Hops, RekeyAtOnceWhenDataFollowsAfterAnIdleRekeyTime) {
  Overlay o;
  o.connect();
  o.wire.advance(150s);
  EXPECT_EQ(o.wire.send(o.client, o.hop, kData), Drop::none);
  o.wire.settle();
  EXPECT_EQ(o.client.sent[MessageType::initiation], 2u);
  EXPECT_EQ(o.client.count<SessionUp>(), 2u);
}

TEST(Hops, RetryARekeyForNinetySeconds) {
  Overlay o;
  o.connect();
  o.wire.send(o.client, o.hop, kData);
  o.wire.settle();
  o.wire.passes = [](const Flying& f) { return f.type() != MessageType::initiation; };
  o.wire.advance(120s + 91s);
  EXPECT_EQ(o.client.count<HandshakeFailed>(), 1u);
  EXPECT_GE(o.client.sent[MessageType::initiation], 18u);
  EXPECT_LE(o.client.sent[MessageType::initiation], 19u);
}

TEST(Hops, TakeMessagesThroughTheirOwnLegOnly) {
  Overlay o;
  const Route leg = Route::through(PeerRef{99}, LegNumber{7});
  const auto inner = *o.client.tunnels.add_hop(
      o.wire.now.mono, {crypto::x25519_generate(o.client.rng), o.relay.keys.pub, leg});
  const auto made = o.client.tunnels.start_handshake(o.wire.now, inner);
  Flying up{o.client.route(), o.relay.route(), {made->message.begin(), made->message.end()}};
  ASSERT_EQ(o.wire.deliver(o.relay, up), Drop::none);
  Flying response = o.wire.seen.back();
  for (const Route& wrong : {o.relay.route(), Route::through(PeerRef{99}, LegNumber{8}),
                             Route::through(PeerRef{98}, LegNumber{7})}) {
    response.from = wrong;
    EXPECT_EQ(o.wire.deliver(o.client, response), Drop::unknown_index);
  }
  response.from = leg;
  EXPECT_EQ(o.wire.deliver(o.client, response), Drop::none);
  EXPECT_EQ(o.client.tunnels.info(inner)->route, leg);
}

TEST(Hops, NeverRoamButAnswerUnderTheMaskThatWasLastUsed) {
  Overlay o;
  o.connect();
  o.wire.send(o.relay, o.client_at_relay(), kData);
  Flying f = o.wire.seen.back();
  f.from.endpoint.port = 9;
  EXPECT_EQ(o.wire.deliver(o.client, f), Drop::none);
  EXPECT_EQ(o.client.tunnels.info(o.hop)->route, o.relay.route());
  o.wire.send(o.relay, o.client_at_relay(), kData);
  f = o.wire.seen.back();
  f.from.mask = MaskId{5};
  EXPECT_EQ(o.wire.deliver(o.client, f), Drop::none);
  EXPECT_EQ(o.client.tunnels.info(o.hop)->route.mask, MaskId{5});
  EXPECT_EQ(o.client.tunnels.info(o.hop)->route.endpoint, o.relay.at);
}

TEST(Hops, AreBoundedAndForgottenWhenRemoved) {
  Overlay o;
  TestNode n(9, "192.0.2.9:9", {.hop_peers = 2});
  const auto make = [&] {
    return n.tunnels.add_hop(o.wire.now.mono,
                             {crypto::x25519_generate(n.rng), o.relay.keys.pub, o.relay.route()});
  };
  const auto first = make();
  ASSERT_TRUE(first.ok() && make().ok());
  EXPECT_EQ(make().error(), Drop::table_full);
  const auto started = n.tunnels.start_handshake(o.wire.now, *first);
  EXPECT_TRUE(n.tunnels.owns_index(sender_index(started->message)));
  EXPECT_EQ(sender_index(started->message).value >> 28, 3u);  // the shard
  n.tunnels.remove(*first);
  EXPECT_FALSE(n.tunnels.owns_index(sender_index(started->message)));
  EXPECT_FALSE(n.tunnels.info(*first));
  n.tunnels.remove(*first);
  const auto third = make();
  ASSERT_TRUE(third.ok());
  EXPECT_NE(*third, *first);
  n.tunnels.check_invariants();
}

// ---- the relay's side

// A relay that never hears the confirming packet.
void mute_data(Overlay& o) {
  o.wire.passes = [](const Flying& f) { return f.type() != MessageType::transport; };
}

TEST(EphemeralPeers, AreForgottenAfterTenSecondsWithoutConfirmation) {
  Overlay o;
  mute_data(o);
  o.connect();
  EXPECT_EQ(o.relay.tunnels.ephemeral_count(), 1u);
  o.wire.advance(9s);
  EXPECT_EQ(o.relay.tunnels.ephemeral_count(), 1u);
  o.wire.advance(1s);
  EXPECT_EQ(o.relay.tunnels.ephemeral_count(), 0u);
  EXPECT_EQ(o.relay.count<PeerGone>(), 1u);
  EXPECT_EQ(o.relay.count<SessionUp>(), 0u);
}

TEST(EphemeralPeers, MayBeSentNoMoreThanTheySentUntilTheyConfirm) {
  Overlay o;
  o.wire.passes = [](const Flying&) { return false; };
  o.wire.call(o.client, o.hop);
  const std::vector<uint8_t> early(500);  // does not open, but was paid for
  EXPECT_EQ(o.wire.deliver(o.relay, o.wire.seen.back(), {}, early), Drop::none);
  const PeerRef peer = o.client_at_relay();
  EXPECT_EQ(o.relay.accepted.early, Drop::early_disabled);
  EXPECT_TRUE(o.relay.tunnels.may_send(peer, 92));
  EXPECT_EQ(o.wire.send(o.relay, peer, kData), Drop::none);  // sealed under the unconfirmed session
  EXPECT_FALSE(o.relay.tunnels.may_send(peer, 557));
  EXPECT_TRUE(o.relay.tunnels.may_send(peer, 556));
  EXPECT_FALSE(o.relay.tunnels.may_send(peer, 1));
  // The client gets the response, then what was sealed early; its first packet lifts the bound.
  for (const Flying& f : std::vector(o.wire.seen.begin() + 1, o.wire.seen.end())) {
    EXPECT_EQ(o.wire.deliver(o.client, f), Drop::none);
  }
  EXPECT_EQ(o.client.payloads.size(), 1u);
  EXPECT_EQ(o.wire.deliver(o.relay, o.wire.seen.back()), Drop::none);
  EXPECT_TRUE(o.relay.tunnels.may_send(peer, 100'000));
}

// That it was at its address three minutes ago says nothing of now; an initiation may come from anywhere.
TEST(EphemeralPeers, ThatAskForNewKeysAreSentNothingUnderThemUntilTheyConfirm) {
  Overlay o;
  o.connect();
  const PeerRef peer = o.client_at_relay();
  o.wire.advance(kRejectAfterTime - 2s);
  o.wire.passes = [](const Flying& f) { return f.type() == MessageType::initiation; };
  o.connect();
  ASSERT_EQ(o.client_at_relay(), peer);
  EXPECT_EQ(o.wire.send(o.relay, peer, kData), Drop::none) << "under the old ones";
  const auto response = std::find_if(o.wire.seen.rbegin(), o.wire.seen.rend(), [](const Flying& f) { return f.type() == MessageType::response; });
  ASSERT_NE(response, o.wire.seen.rend());
  const Flying held = *response;
  o.wire.advance(3s);
  EXPECT_EQ(o.wire.send(o.relay, peer, kData), Drop::no_session);
  o.wire.passes = [](const Flying&) { return true; };
  EXPECT_EQ(o.wire.deliver(o.client, held), Drop::none);
  o.wire.settle();
  EXPECT_EQ(o.wire.send(o.relay, peer, kData), Drop::none);
}

TEST(EphemeralPeers, ACookieReplyIsNoLargerThanAnInitiation) {
  Overlay o;
  EXPECT_TRUE(o.relay.tunnels.may_send({}, 148));
  EXPECT_FALSE(o.relay.tunnels.may_send({}, 149));
  EXPECT_FALSE(o.relay.tunnels.may_send(PeerRef{12345}, 1));
}

TEST(EphemeralPeers, HalfOpenOnesAreBoundedPerSourceAndPerRelayAndInAll) {
  TunnelLimits limits;
  limits.half_open = 6;
  limits.half_open_per_source = 2;
  limits.half_open_per_relay = 3;
  limits.handshakes_per_second = 1000;
  Overlay o(limits);
  const auto call_from = [&](const char* endpoint, const std::optional<PeerId>& relay = {}) {
    const auto made = o.client.tunnels.start_handshake(o.wire.now, o.add_hop());
    const Route from = Route::udp(kListenSocket, *Endpoint::parse(endpoint), kPlain);
    o.wire.now.mono += 10ms;
    return o.wire.deliver(o.relay, {from, {}, {made->message.begin(), made->message.end()}}, relay);
  };
  EXPECT_EQ(call_from("198.51.100.1:1"), Drop::none);
  EXPECT_EQ(call_from("198.51.100.1:2"), Drop::none);
  EXPECT_EQ(call_from("198.51.100.1:3"), Drop::table_full);
  EXPECT_EQ(call_from("[2001:db8::1]:1"), Drop::none);
  for (int i = 0; i < 3; i++) EXPECT_EQ(call_from("198.51.100.7:7", PeerId{{1}}), Drop::none);
  EXPECT_EQ(call_from("198.51.100.7:7", PeerId{{1}}), Drop::table_full);
  EXPECT_EQ(call_from("198.51.100.2:2"), Drop::table_full);  // six in all
  o.wire.advance(11s);
  EXPECT_EQ(call_from("198.51.100.1:3"), Drop::none);
}

TEST(EphemeralPeers, OneHouseholdOfIpv6CountsAsOneSource) {
  TunnelLimits limits;
  limits.half_open_per_source = 1;
  Overlay o(limits);
  o.wire.move(o.client, "[2001:db8::1]:1000");
  mute_data(o);
  o.connect();
  o.wire.move(o.client, "[2001:db8::2]:1000");
  o.wire.call(o.client, o.add_hop());
  o.wire.settle();
  EXPECT_EQ(o.relay.drops[Drop::table_full], 1u);
  o.wire.move(o.client, "[2001:db8:0:1::2]:1000");
  o.wire.call(o.client, o.add_hop());
  o.wire.settle();
  EXPECT_EQ(o.relay.tunnels.ephemeral_count(), 2u);
}

TEST(EphemeralPeers, TheTableIsBounded) {
  TunnelLimits limits;
  limits.ephemeral_peers = 2;
  Overlay o(limits);
  o.connect();
  for (int i = 0; i < 2; i++) {
    o.wire.advance(1s);
    o.wire.call(o.client, o.add_hop());
    o.wire.settle();
  }
  EXPECT_EQ(o.relay.tunnels.ephemeral_count(), 2u);
  EXPECT_EQ(o.relay.drops[Drop::table_full], 1u);
}

TEST(EphemeralPeers, RoamUnlessTheyCameThroughAVerifiedRelay) {
  for (const bool through_relay : {false, true}) {
    Overlay o;
    o.wire.passes = [](const Flying& f) { return f.type() != MessageType::initiation; };
    o.wire.call(o.client, o.hop);
    ASSERT_EQ(o.wire.deliver(o.relay, o.wire.seen.back(),
                             through_relay ? std::optional(PeerId{{1}}) : std::nullopt),
              Drop::none);
    o.wire.settle();
    ASSERT_EQ(o.relay.count<SessionUp>(), 1u);
    const Route before = o.relay.tunnels.info(o.client_at_relay())->route;
    o.wire.move(o.client, "198.51.100.9:4444");
    EXPECT_EQ(o.wire.send(o.client, o.hop, kData), Drop::none);
    o.wire.settle();
    EXPECT_EQ(o.relay.payloads.size(), 1u);
    EXPECT_EQ(o.relay.tunnels.info(o.client_at_relay())->route, through_relay ? before : o.client.route());
  }
}

TEST(EphemeralPeers, ACaughtInitiationSentOnFromElsewhereDoesNotMoveASessionThatIsUp) {
  Overlay o;
  o.connect();
  o.wire.passes = [](const Flying&) { return false; };
  o.wire.advance(1s);
  o.wire.call(o.client, o.hop);
  Flying f = o.wire.seen.back();
  f.from.endpoint.port = 666;
  EXPECT_EQ(o.wire.deliver(o.relay, f), Drop::none);
  EXPECT_EQ(o.wire.seen.back().to.endpoint.port, 666);  // the response goes back to it
  EXPECT_EQ(o.relay.tunnels.info(o.client_at_relay())->route, o.client.route());
}

TEST(EphemeralPeers, AreNeverInitiatedToAndQueueNothing) {
  Overlay o;
  o.connect();
  EXPECT_EQ(o.relay.tunnels.start_handshake(o.wire.now, o.client_at_relay()).error(), Drop::unknown_peer);
  o.wire.advance(100s);
  for (int i = 0; i < 40; i++) {
    o.wire.send(o.relay, o.client_at_relay(), kData);
    o.wire.advance(1s);
  }
  EXPECT_EQ(o.relay.sent[MessageType::initiation], 0u);
  EXPECT_EQ(o.relay.keepalives, 1u);  // received: the confirmation
  EXPECT_EQ(o.client.keepalives, 0u);
}

TEST(EphemeralPeers, ARemovedPeerIsForgottenAtOnce) {
  Overlay o;
  o.connect();
  o.relay.tunnels.remove(o.client_at_relay());
  o.relay.tunnels.check_invariants();
  EXPECT_EQ(o.wire.send(o.relay, o.client_at_relay(), kData), Drop::unknown_peer);
  o.wire.send(o.client, o.hop, kData);
  o.wire.settle();
  EXPECT_EQ(o.relay.drops[Drop::unknown_index], 1u);
  EXPECT_EQ(o.relay.tunnels.next_deadline(), kNever);
}

TEST(EphemeralPeers, BecomeConfiguredWhenTheUserNamesThem) {
  Overlay o;
  o.connect();
  const PublicKey key = o.relay.tunnels.info(o.client_at_relay())->key;
  ASSERT_TRUE(o.relay.tunnels.add_configured(o.wire.now.mono, {key, {}, {}, {}, {}}).ok());
  EXPECT_EQ(o.relay.tunnels.ephemeral_count(), 0u);
  o.wire.advance(1ms);
  EXPECT_EQ(o.relay.count<PeerGone>(), 1u);
}

TEST(EphemeralPeers, OurOwnKeyIsRefused) {
  Overlay o;
  const auto self =
      *o.relay.tunnels.add_hop(o.wire.now.mono, {o.relay.keys, o.relay.keys.pub, o.relay.route()});
  o.wire.call(o.relay, self);
  o.wire.settle();
  EXPECT_EQ(o.relay.drops[Drop::unknown_peer], 1u);
}

TEST(EphemeralPeers, KeepTheirSessionWhenARekeyIsNotConfirmed) {
  Overlay o;
  o.connect();
  o.wire.send(o.client, o.hop, kData);
  o.wire.settle();
  o.wire.passes = [](const Flying& f) { return f.type() != MessageType::response; };
  o.wire.advance(125s);
  EXPECT_GE(o.relay.sent[MessageType::response], 2u);
  EXPECT_EQ(o.wire.send(o.relay, o.client_at_relay(), kData), Drop::none);  // under the old keys
  o.wire.settle();
  EXPECT_EQ(o.client.payloads.size(), 1u);
  EXPECT_EQ(o.relay.count<PeerGone>(), 0u);
}

TEST(EphemeralPeers, ManyTimersAreNotScanned) {
  TunnelLimits limits;
  limits.half_open = limits.half_open_per_source = 5'000;
  limits.handshakes_per_second = 1'000'000;
  Overlay o(limits);
  mute_data(o);
  for (int i = 0; i < 500; i++) {
    o.wire.now.mono += 1ms;
    const PeerRef hop = o.add_hop();
    const auto made = o.client.tunnels.start_handshake(o.wire.now, hop);
    Out out;
    ASSERT_TRUE(
        o.relay.tunnels.on_initiation(o.wire.now, {o.client.route(), 148, {}}, made->message, {}, out).ok());
    o.client.tunnels.remove(hop);
  }
  o.relay.tunnels.check_invariants();
  Out out;
  o.wire.now.mono += 9502ms;  // the oldest two are due
  o.relay.tunnels.on_deadline(o.wire.now, out);
  EXPECT_EQ(out.events.size(), 2u);
  EXPECT_EQ(o.relay.tunnels.next_deadline(), o.wire.now.mono + 1ms);
}

}  // namespace
}  // namespace macrovpn::encryption
