// Cookies under load, rates, and early data, through Tunnels.
#include <gtest/gtest.h>

#include "core/encryption/early_data.h"
#include "core/encryption/tunnels_harness.h"

namespace macrovpn::encryption {
namespace {

struct Overlay {
  explicit Overlay(const TunnelLimits& limits = {}) : relay(2, "192.0.2.2:2000", limits) {
    relay.tunnels.accept_ephemeral_peers(true);
    wire.add(client);
    wire.add(relay);
    hop = *client.tunnels.add_hop(wire.now.mono,
                                  {crypto::x25519_generate(client.rng), relay.keys.pub, relay.route()});
  }
  Flying initiation() {
    const auto made = client.tunnels.start_handshake(wire.now, hop);
    return {client.route(), relay.route(), {made->message.begin(), made->message.end()}};
  }
  TestWire wire;
  TestNode client{1, "192.0.2.1:1000"}, relay;
  PeerRef hop;
};

TunnelLimits always_loaded() {
  TunnelLimits l;
  l.load_threshold = 0;
  return l;
}

TEST(Cookies, UnderLoadACallerMustShowThatItIsWhereItSays) {
  Overlay o(always_loaded());
  EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::cookie_required);
  ASSERT_EQ(o.wire.seen.back().type(), MessageType::cookie_reply);
  EXPECT_EQ(o.wire.seen.back().bytes.size(), kCookieReplySize);
  o.wire.settle();  // the client learns the cookie; nobody retries by itself
  EXPECT_EQ(o.client.tunnels.info(o.hop)->established, false);
  EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::none);
  o.wire.settle();
  EXPECT_EQ(o.relay.count<SessionUp>(), 1u);
}

TEST(Cookies, AreBoundToTheAddressAndThePort) {
  Overlay o(always_loaded());
  o.wire.deliver(o.relay, o.initiation());
  o.wire.settle();
  Flying f = o.initiation();
  f.from.endpoint.port = 1001;
  EXPECT_EQ(o.wire.deliver(o.relay, f), Drop::cookie_required);
  f.from.endpoint = *Endpoint::parse("192.0.2.77:1000");
  EXPECT_EQ(o.wire.deliver(o.relay, f), Drop::cookie_required);
  f.from = o.client.route();
  EXPECT_EQ(o.wire.deliver(o.relay, f), Drop::none);
}

TEST(Cookies, LastTwoMinutes) {
  Overlay o(always_loaded());
  o.wire.deliver(o.relay, o.initiation());
  o.wire.settle();
  o.wire.now.mono += 121s;
  EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::cookie_required);
}

TEST(Cookies, ARepliesReplayOrForgeryChangesNothing) {
  Overlay o(always_loaded());
  o.wire.deliver(o.relay, o.initiation());
  Flying reply = o.wire.seen.back();
  Flying forged = reply;
  forged.bytes[40] ^= 1;
  EXPECT_EQ(o.wire.deliver(o.client, forged), Drop::bad_handshake);
  EXPECT_EQ(o.wire.deliver(o.client, reply), Drop::none);
  o.initiation();  // another one is pending now
  EXPECT_EQ(o.wire.deliver(o.client, reply), Drop::unknown_index);
}

TEST(Cookies, AReplyNeverMovesThePeer) {
  Overlay o(always_loaded());
  TestNode device(3, "192.0.2.3:3000");
  o.wire.add(device);
  const auto peer =
      *device.tunnels.add_configured(o.wire.now.mono, {o.relay.keys.pub, {}, o.relay.route(), {}, {}});
  const auto made = device.tunnels.start_handshake(o.wire.now, peer);
  o.wire.deliver(o.relay, {device.route(), {}, {made->message.begin(), made->message.end()}});
  Flying reply = o.wire.seen.back();
  reply.from.endpoint = *Endpoint::parse("198.51.100.66:6");
  EXPECT_EQ(o.wire.deliver(device, reply), Drop::none);
  EXPECT_EQ(device.tunnels.info(peer)->route, o.relay.route());
}

TEST(Cookies, ConfiguredPeersUseThemWhenTheyRetry) {
  Overlay o(always_loaded());
  TestNode device(3, "192.0.2.3:3000");
  o.wire.add(device);
  const auto peer =
      *device.tunnels.add_configured(o.wire.now.mono, {o.relay.keys.pub, {}, o.relay.route(), {}, {}});
  EXPECT_EQ(o.wire.send(device, peer, ip_packet("10.0.0.1", "10.0.0.2")), Drop::staged);
  o.wire.settle();
  EXPECT_EQ(device.count<SessionUp>(), 0u);
  o.wire.advance(6s);
  EXPECT_EQ(device.count<SessionUp>(), 1u);
}

TEST(Cookies, AreDemandedOnlyAboveTheThreshold) {
  TunnelLimits limits;
  limits.load_threshold = 3;
  limits.handshakes_per_second = 1000;
  Overlay o(limits);
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::none);
    o.wire.now.mono += 1ms;
  }
  EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::cookie_required);
  o.wire.now.mono += 2s;
  EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::none);
}

TEST(Cookies, AreGivenToSoManyInASecond) {
  TunnelLimits limits = always_loaded();
  limits.cookies_per_second = 1000;
  Overlay o(limits);
  const auto given = [&](Duration time, int calls) {
    const size_t before = o.wire.seen.size();
    for (int i = 0; i < calls; i++) {
      o.wire.now.mono += time / calls;
      const Drop d = o.wire.deliver(o.relay, o.initiation());
      EXPECT_TRUE(d == Drop::cookie_required || d == Drop::no_cookie_left);
    }
    return o.wire.seen.size() - before;
  };
  EXPECT_EQ(given(1s, 500), 500u);
  EXPECT_NEAR(static_cast<double>(given(1s, 5000)), 1250, 20);  // and a burst
  EXPECT_NEAR(static_cast<double>(given(1s, 5000)), 1000, 20);
  o.wire.settle();
  EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::none);  // who has one is not concerned
}

TEST(Admission, AWrongMac1CostsNothingElse) {
  Overlay o(always_loaded());
  Flying f = o.initiation();
  f.bytes[50] ^= 1;
  EXPECT_EQ(o.wire.deliver(o.relay, f), Drop::bad_mac1);
  EXPECT_TRUE(o.wire.seen.empty());
}

// Five at once, then a cookie; with it five more, then nothing until the bucket refills at 20 a second.
TEST(Admission, ASourceThatCallsTooOftenMustProveItselfAndThenWait) {
  Overlay o;
  for (int i = 0; i < 5; i++) EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::none);
  EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::cookie_required);
  o.wire.settle();
  // The last pending initiation took the cookie.
  for (int i = 0; i < 5; i++) EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::none);
  const size_t sent = o.wire.seen.size();
  EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::rate_limited);
  EXPECT_EQ(o.wire.seen.size(), sent);
  Flying elsewhere = o.initiation();
  elsewhere.from.endpoint.address = *IpAddress::parse("198.51.100.1");
  EXPECT_EQ(o.wire.deliver(o.relay, elsewhere), Drop::none);  // others are not touched
  o.wire.now.mono += 50ms;
  EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::none);
  EXPECT_EQ(o.wire.deliver(o.relay, o.initiation()), Drop::rate_limited);
}

TEST(Admission, AVerifiedRelayHasFiftyTimesTheShare) {
  Overlay o;
  const PeerId relay{{9}};
  for (int i = 0; i < 250; i++) ASSERT_EQ(o.wire.deliver(o.relay, o.initiation(), relay), Drop::none) << i;
  EXPECT_EQ(o.wire.deliver(o.relay, o.initiation(), relay), Drop::rate_limited);
}

// ---- early data

struct Build : Overlay {
  Build() : prekey(relay.tunnels.renew_prekey(wire.now)) {}
  // A fresh initiation with early data; what the relay made of it.
  Drop build(const PublicKey& to, Duration client_clock_ahead = {}) {
    last = initiation();
    early = *client.tunnels.seal_early(wire.now.wall + client_clock_ahead, hop, to, kPlain3);
    EXPECT_EQ(early.size(), kPlain3.size() + 20);
    EXPECT_EQ(wire.deliver(relay, last, {}, early), Drop::none);
    wire.now.mono += 100ms;
    wire.now.wall += 100ms;
    return relay.accepted.early;
  }
  static constexpr ByteArray<3> kPlain3{1, 2, 3};
  PublicKey prekey;
  Flying last;
  std::vector<uint8_t> early;
};

TEST(EarlyDataOfABuild, IsOpenedWithTheInitiation) {
  Build b;
  EXPECT_EQ(b.build(b.prekey), Drop::none);
  EXPECT_TRUE(equal(b.relay.accepted.early_plain, Build::kPlain3));
}

TEST(EarlyDataOfABuild, IsTakenUnderTheNewestTwoPrekeysFor36Hours) {
  Build b;
  const PublicKey second = b.relay.tunnels.renew_prekey(b.wire.now);
  EXPECT_EQ(b.build(b.prekey), Drop::none);
  EXPECT_EQ(b.build(second), Drop::none);
  const PublicKey third = b.relay.tunnels.renew_prekey(b.wire.now);
  EXPECT_EQ(b.build(b.prekey), Drop::early_bad);
  EXPECT_TRUE(b.relay.accepted.early_plain.empty());
  b.wire.advance(std::chrono::hours(35));
  EXPECT_EQ(b.build(third), Drop::none);
  b.wire.advance(std::chrono::hours(1));
  EXPECT_EQ(b.build(third), Drop::early_disabled);
  EXPECT_TRUE(b.relay.tunnels.needs_prekey(b.wire.now));
}

TEST(EarlyDataOfABuild, BelongsToASlotNearOurs) {
  Build b;
  EXPECT_EQ(b.build(b.prekey, std::chrono::minutes(10)), Drop::none);
  EXPECT_EQ(b.build(b.prekey, -std::chrono::minutes(10)), Drop::none);
  EXPECT_EQ(b.build(b.prekey, std::chrono::minutes(20)), Drop::early_slot);
  EXPECT_EQ(b.build(b.prekey, -std::chrono::minutes(20)), Drop::early_slot);
}

// The peer was forgotten meanwhile, so only the cache stands between a replayer and a second forwarding.
TEST(EarlyDataOfABuild, IsNotTakenTwice) {
  Build b;
  EXPECT_EQ(b.build(b.prekey), Drop::none);
  b.relay.tunnels.remove(b.relay.accepted.peer);
  EXPECT_EQ(b.wire.deliver(b.relay, b.last, {}, b.early), Drop::none);
  EXPECT_EQ(b.relay.accepted.early, Drop::early_replayed);
  b.relay.tunnels.remove(b.relay.accepted.peer);
  b.wire.advance(std::chrono::minutes(29));
  EXPECT_EQ(b.wire.deliver(b.relay, b.last, {}, b.early), Drop::none);
  EXPECT_NE(b.relay.accepted.early, Drop::none);
}

TEST(EarlyDataOfABuild, IsRefusedAfterTheCalendarJumpedUntilThereIsANewPrekey) {
  for (const Duration jump : {Duration(std::chrono::minutes(11)), Duration(-std::chrono::minutes(11))}) {
    Build b;
    EXPECT_EQ(b.build(b.prekey), Drop::none);
    b.wire.now.wall += jump;
    EXPECT_EQ(b.build(b.prekey), Drop::early_disabled);
    b.wire.now.wall -= jump;
    EXPECT_EQ(b.build(b.prekey), Drop::early_disabled);  // the prekey is gone for good
    b.wire.now.wall += jump;
    const PublicKey fresh = b.relay.tunnels.renew_prekey(b.wire.now);
    EXPECT_EQ(b.build(b.prekey), Drop::early_bad);
    EXPECT_EQ(b.build(fresh), Drop::none);
  }
}

TEST(EarlyDataOfABuild, ThatIsForgedLeavesTheHandshakeAlone) {
  Build b;
  const Flying f = b.initiation();
  auto early = *b.client.tunnels.seal_early(b.wire.now.wall, b.hop, b.prekey, Build::kPlain3);
  early[2] ^= 1;
  EXPECT_EQ(b.wire.deliver(b.relay, f, {}, early), Drop::none);
  EXPECT_EQ(b.relay.accepted.early, Drop::early_bad);
  b.wire.settle();
  EXPECT_EQ(b.relay.count<SessionUp>(), 1u);
  EXPECT_EQ(b.relay.tunnels.count(Drop::early_bad), 1u);
}

TEST(EarlyDataOfABuild, NeedsAPendingHandshakeAndAProperKey) {
  Build b;
  EXPECT_EQ(b.client.tunnels.seal_early(b.wire.now.wall, b.hop, b.prekey, {}).error(), Drop::no_session);
  b.initiation();
  EXPECT_EQ(b.client.tunnels.seal_early(b.wire.now.wall, b.hop, PublicKey{}, {}).error(),
            Drop::low_order_point);
  EXPECT_EQ(b.client.tunnels.seal_early(b.wire.now.wall, PeerRef{1}, b.prekey, {}).error(),
            Drop::unknown_peer);
}

TEST(EarlyReplayCache, NeverEvictsAndRefusesWhenFull) {
  SeededRng rng(1);
  EarlyReplayCache cache(rng, 4);
  const CallerKey a = caller_key(*IpAddress::parse("192.0.2.1")), b = caller_key(PeerId{{1}});
  const auto key = [](uint8_t n) { return PublicKey{{n}}; };
  const Mono t{};
  EXPECT_EQ(cache.add(t, key(1), a, 2), Drop::none);
  EXPECT_EQ(cache.add(t, key(2), a, 2), Drop::none);
  EXPECT_EQ(cache.add(t, key(3), a, 2), Drop::early_full);  // its share
  EXPECT_EQ(cache.add(t + 1s, key(3), b, 9), Drop::none);
  EXPECT_EQ(cache.add(t + 1s, key(4), b, 9), Drop::none);
  EXPECT_EQ(cache.add(t + 1s, key(5), b, 9), Drop::early_full);  // all
  const Mono late = t + EarlyReplayCache::kKeep;
  EXPECT_EQ(cache.add(late - 1ns, key(1), a, 2), Drop::early_replayed);
  EXPECT_EQ(cache.add(late, key(1), a, 2), Drop::none);
  EXPECT_EQ(cache.add(late, key(3), a, 2), Drop::early_replayed);
  EXPECT_EQ(cache.size(), 3u);
}

// X25519 ignores the highest bit of a public key: flipping it must not make a build look new.
TEST(EarlyReplayCache, KnowsAPointInBothItsEncodings) {
  SeededRng rng(1);
  EarlyReplayCache cache(rng, 4);
  const CallerKey who = caller_key(PeerId{{1}});
  PublicKey k{{5}};
  EXPECT_EQ(cache.add({}, k, who, 4), Drop::none);
  k.bytes[31] |= 0x80;
  EXPECT_EQ(cache.add({}, k, who, 4), Drop::early_replayed);
}

}  // namespace
}  // namespace macrovpn::encryption
