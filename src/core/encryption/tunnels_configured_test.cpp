// Configured peers against each other: stock WireGuard.
#include "core/encryption/tunnels.h"

#include <gtest/gtest.h>

#include "core/encryption/tunnels_harness.h"

namespace macrovpn::encryption {
namespace {

// Two devices that know each other.
struct Pair {
  explicit Pair(const Secret<32>& psk = {}, Duration persistent = Duration::zero(),
                const TunnelLimits& limits = {})
      : a(1, "192.0.2.1:1000", limits) {
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
  TestNode a, b{2, "192.0.2.2:2000"};
  PeerRef b_at_a, a_at_b;
};

TEST(ConfiguredPeers, AStagedPacketStartsAHandshakeAndFollowsIt) {
  Pair p;
  EXPECT_EQ(p.send_a(), Drop::staged);
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

TEST(ConfiguredPeers, HandshakeWithAPresharedKeyAndRefuseAnother) {
  const Secret<32> psk(ByteArray<32>{7});
  Pair p(psk);
  p.send_a();
  p.wire.settle();
  EXPECT_EQ(p.b.payloads.size(), 1u);

  Pair q(psk);
  q.b.tunnels.remove(q.a_at_b);
  q.a_at_b = *q.b.tunnels.add_configured(
      q.wire.now.mono, {q.a.keys.pub, Secret<32>(ByteArray<32>{8}), {}, {*IpPrefix::parse("10.0.0.1")}, {}});
  q.send_a();
  q.wire.settle();
  EXPECT_TRUE(q.b.payloads.empty());
  EXPECT_EQ(q.a.drops[Drop::bad_handshake], 1u);
}

TEST(ConfiguredPeers, AreCalledFromAnyAddressOfOursOnceNothingComesBack) {
  Pair p;
  const TestNode silent{3, "192.0.2.9:1000"};
  Route route = silent.route();
  route.local = *IpAddress::parse("192.0.2.77");
  const PeerRef peer = *p.a.tunnels.add_configured(
      p.wire.now.mono, {silent.keys.pub, {}, route, {*IpPrefix::parse("10.0.0.9")}, {}});
  EXPECT_EQ(p.wire.send(p.a, peer, ip_packet("10.0.0.1", "10.0.0.9")), Drop::staged);
  EXPECT_EQ(p.a.tunnels.info(peer)->route.local, route.local);
  p.wire.advance(6s);  // the first retry
  EXPECT_TRUE(p.a.tunnels.info(peer)->route.local.is_unspecified());
  EXPECT_EQ(p.a.tunnels.info(peer)->route.endpoint, route.endpoint);
}

TEST(ConfiguredPeers, PadToSixteenAndTrimToTheInnerLength) {
  Pair p;
  p.send_a(29);
  p.wire.settle();
  ASSERT_EQ(p.b.payloads.size(), 1u);
  EXPECT_EQ(p.b.payloads[0].size(), 29u);
  EXPECT_EQ(p.wire.seen.back().bytes.size(), 64u);  // 32 of payload, 32 of overhead
}

TEST(ConfiguredPeers, PaddingStopsAtTheMtuOfTheDevice) {
  Pair p;
  for (const auto& [size, sealed] : {std::pair<size_t, size_t>{1408, 1408}, {1409, 1420}, {1420, 1420}}) {
    p.send_a(size);
    p.wire.settle();
    EXPECT_EQ(p.b.payloads.back().size(), size);
    EXPECT_EQ(p.wire.seen.back().bytes.size(), sealed + 32);
  }
}

TEST(ConfiguredPeers, AResponderDoesNotSealBeforeItsCallerProvedTheKeys) {
  Pair p;
  p.wire.passes = [](const Flying& f) { return f.type() != MessageType::transport; };
  p.send_a();
  p.wire.settle();  // initiation and response arrive, the confirming packet is lost
  EXPECT_FALSE(p.b.tunnels.info(p.a_at_b)->established);
  EXPECT_EQ(p.send_b(), Drop::staged);
  EXPECT_EQ(p.b.sent[MessageType::transport], 0u);
}

TEST(ConfiguredPeers, RetryEachFiveSecondsWithJitterForNinetySecondsThenFail) {
  Pair p;
  std::vector<Mono> times;
  p.wire.passes = [&](const Flying& f) {
    if (f.type() == MessageType::initiation) times.push_back(p.wire.now.mono);
    return false;
  };
  p.send_a();
  p.wire.advance(89s);
  EXPECT_EQ(p.a.count<HandshakeFailed>(), 0u);
  p.wire.advance(20s);
  EXPECT_EQ(p.a.count<HandshakeFailed>(), 1u);
  const size_t tried = times.size();
  EXPECT_GE(tried, 17u);
  EXPECT_LE(tried, 18u);
  bool jittered = false;
  for (size_t i = 1; i < times.size(); i++) {
    EXPECT_GE(times[i] - times[i - 1], 5s);
    EXPECT_LE(times[i] - times[i - 1], 5s + 333ms);
    jittered |= times[i] - times[i - 1] > 5s;
  }
  EXPECT_TRUE(jittered);
  p.wire.advance(600s);
  EXPECT_EQ(times.size(), tried);
  EXPECT_EQ(p.a.count<HandshakeFailed>(), 1u);
}

TEST(ConfiguredPeers, NeverInitiateTwiceWithinFiveSeconds) {
  Pair p;
  p.wire.passes = [](const Flying&) { return false; };
  for (int i = 0; i < 40; i++) {
    p.send_a();
    p.wire.advance(100ms);
  }
  EXPECT_EQ(p.a.sent[MessageType::initiation], 1u);
}

TEST(ConfiguredPeers, TheInitiatorRekeysOnSendAfterTwoMinutes) {
  Pair p;
  p.send_a();
  p.wire.settle();
  const auto before = p.a.tunnels.info(p.b_at_a)->handshake_hash;
  for (int i = 0; i < 119; i++) {
    p.wire.advance(1s);
    p.send_a();
    p.send_b();
    p.wire.settle();
  }
  EXPECT_EQ(p.a.sent[MessageType::initiation], 1u);
  p.wire.advance(1s);
  EXPECT_EQ(p.send_b(), Drop::none);  // the responder does not
  p.wire.settle();
  EXPECT_EQ(p.b.sent[MessageType::initiation], 0u);
  p.send_a();
  p.wire.settle();
  EXPECT_EQ(p.a.sent[MessageType::initiation], 2u);
  EXPECT_NE(p.a.tunnels.info(p.b_at_a)->handshake_hash, before);
  EXPECT_EQ(p.b.payloads.size(), 121u);
  EXPECT_EQ(p.a.payloads.size(), 120u);
}

TEST(ConfiguredPeers, TheInitiatorRekeysOnReceiveBeforeTheKeysRunOut) {
  Pair p;
  p.send_a();
  p.wire.settle();
  p.wire.advance(164s);
  p.send_b();
  p.wire.settle();
  EXPECT_EQ(p.a.sent[MessageType::initiation], 1u);
  p.wire.advance(1s);
  p.wire.passes = [](const Flying& f) { return f.type() != MessageType::initiation; };
  p.send_b();
  p.wire.settle();
  EXPECT_EQ(p.a.sent[MessageType::initiation], 2u);
  p.send_b();
  p.wire.settle();
  EXPECT_EQ(p.a.sent[MessageType::initiation], 2u);  // once
}

TEST(ConfiguredPeers, RekeyAndRejectByMessages) {
  TunnelLimits few;
  few.rekey_after_messages = 10;
  few.reject_after_messages = 20;
  Pair p({}, {}, few);
  p.send_a();
  p.wire.settle();
  p.wire.advance(6s);
  p.wire.passes = [](const Flying& f) { return f.type() != MessageType::initiation; };
  for (int i = 1; i < 9; i++) EXPECT_EQ(p.send_a(), Drop::none);
  EXPECT_EQ(p.a.sent[MessageType::initiation], 1u);
  EXPECT_EQ(p.send_a(), Drop::none);  // the tenth
  EXPECT_EQ(p.a.sent[MessageType::initiation], 2u);
  for (int i = 10; i < 20; i++) EXPECT_EQ(p.send_a(), Drop::none);
  EXPECT_EQ(p.send_a(), Drop::staged);  // staged
  p.wire.settle();
  EXPECT_EQ(p.b.payloads.size(), 20u);
  p.wire.passes = [](const Flying&) { return true; };
  p.wire.advance(6s);
  EXPECT_EQ(p.b.payloads.size(), 21u);
}

TEST(ConfiguredPeers, RejectKeysOlderThanThreeMinutes) {
  Pair p;
  p.send_a();
  p.wire.settle();
  p.send_a();
  const Flying last = p.wire.seen.back();
  p.wire.settle();
  p.wire.advance(179s);
  EXPECT_EQ(p.wire.deliver(p.b, last), Drop::replayed_counter);
  p.wire.advance(1s);
  EXPECT_EQ(p.wire.deliver(p.b, last), Drop::expired);
}

TEST(ConfiguredPeers, AnswerOneWayTrafficWithAKeepaliveAfterTenSeconds) {
  Pair p;
  p.send_a();
  p.wire.settle();
  p.wire.advance(9900ms);
  EXPECT_EQ(p.a.keepalives, 0u);
  p.wire.advance(200ms);
  EXPECT_EQ(p.a.keepalives, 1u);
  EXPECT_EQ(p.wire.seen.back().bytes.size(), 32u);
  p.wire.advance(60s);
  EXPECT_EQ(p.a.keepalives, 1u);  // keepalives are not answered
  EXPECT_EQ(p.a.sent[MessageType::initiation] + p.b.sent[MessageType::initiation], 1u);
}

TEST(ConfiguredPeers, StartAHandshakeWhenNothingCameBackForFifteenSeconds) {
  Pair p;
  p.send_a();
  p.wire.settle();
  p.wire.advance(30s);
  p.wire.passes = [](const Flying& f) { return f.to.endpoint.port == 2000; };  // b's answers are lost
  p.send_a();
  p.wire.settle();
  p.wire.advance(14900ms);
  EXPECT_EQ(p.a.sent[MessageType::initiation], 1u);
  p.wire.advance(500ms);
  EXPECT_EQ(p.a.sent[MessageType::initiation], 2u);
}

TEST(ConfiguredPeers, PersistentKeepaliveOpensTheTunnelAndHoldsIt) {
  Pair p({}, 25s);
  p.wire.advance(1s);
  EXPECT_EQ(p.a.count<SessionUp>(), 1u);
  const size_t before = p.b.keepalives;
  p.wire.advance(100s);
  EXPECT_EQ(p.b.keepalives - before, 4u);
}

TEST(ConfiguredPeers, ForgetTheirKeysNineMinutesAfterTheLastHandshake) {
  Pair p;
  p.send_a();
  p.wire.settle();
  p.wire.advance(539s);
  EXPECT_TRUE(p.a.tunnels.info(p.b_at_a)->established);
  p.wire.advance(2s);
  EXPECT_FALSE(p.a.tunnels.info(p.b_at_a)->established);
  EXPECT_FALSE(p.b.tunnels.info(p.a_at_b)->established);
}

TEST(ConfiguredPeers, RoamOnAuthenticatedTransportOnly) {
  Pair p;
  p.send_a();
  p.wire.settle();
  p.wire.move(p.a, "198.51.100.9:4444");
  p.wire.seen.clear();
  p.send_a();
  Flying forged = p.wire.seen.back();
  forged.bytes.back() ^= 1;
  EXPECT_EQ(p.wire.deliver(p.b, forged), Drop::bad_tag);
  EXPECT_EQ(p.b.tunnels.info(p.a_at_b)->route.endpoint.port, 1000);
  p.wire.settle();
  EXPECT_EQ(p.b.tunnels.info(p.a_at_b)->route, p.a.route());
  p.send_b();
  p.wire.settle();
  EXPECT_EQ(p.a.payloads.size(), 1u);
}

TEST(ConfiguredPeers, DropInnerAddressesThatAreNotTheirOwn) {
  Pair p;
  p.send_a();
  p.wire.settle();
  EXPECT_EQ(p.wire.send(p.a, p.b_at_a, ip_packet("10.0.0.9", "10.0.0.2")), Drop::none);
  EXPECT_EQ(p.wire.send(p.a, p.b_at_a, std::vector<uint8_t>(40, 0x11)), Drop::none);
  auto longer = ip_packet("10.0.0.1", "10.0.0.2");
  store_be16(&longer[2], 1000);
  EXPECT_EQ(p.wire.send(p.a, p.b_at_a, longer), Drop::none);
  p.wire.settle();
  EXPECT_EQ(p.b.payloads.size(), 1u);
  EXPECT_EQ(p.b.drops[Drop::not_allowed_ip], 1u);
  EXPECT_EQ(p.b.drops[Drop::malformed], 2u);
}

TEST(ConfiguredPeers, DropAnInnerAddressThatBelongsToAnotherPeer) {
  Pair p;
  p.send_a();
  p.wire.settle();
  SeededRng rng(78);
  ASSERT_TRUE(
      p.b.tunnels
          .add_configured(p.wire.now.mono,
                          {crypto::x25519_generate(rng).pub, {}, {}, {*IpPrefix::parse("10.0.0.7")}, {}})
          .ok());
  EXPECT_EQ(p.wire.send(p.a, p.b_at_a, ip_packet("10.0.0.7", "10.0.0.2")), Drop::none);
  p.wire.settle();
  EXPECT_EQ(p.b.drops[Drop::not_allowed_ip], 1u);
}

TEST(ConfiguredPeers, RekeyAgainAndAgainInEitherRole) {
  Pair p;
  for (int i = 0; i < 6; i++) {
    p.wire.advance(181s);
    EXPECT_EQ(i % 2 == 0 || i == 0 ? p.send_a() : p.send_b(), Drop::staged);
    p.wire.settle();
    EXPECT_EQ(p.send_a(), Drop::none);
    EXPECT_EQ(p.send_b(), Drop::none);
    p.wire.settle();
  }
  for (int i = 0; i < 4; i++) {
    p.wire.advance(121s);
    p.send_a();
    p.wire.settle();
  }
  EXPECT_GE(p.a.count<SessionUp>(), 9u);
  EXPECT_EQ(p.a.count<SessionUp>(), p.b.count<SessionUp>());
}

TEST(ConfiguredPeers, RouteByTheLongestPrefixAndMoveOwnership) {
  Pair p;
  SeededRng rng(77);
  const auto other = *p.a.tunnels.add_configured(
      p.wire.now.mono, {crypto::x25519_generate(rng).pub,
                        {},
                        {},
                        {*IpPrefix::parse("10.0.0.0/8"), *IpPrefix::parse("fd00::2")},
                        {}});
  EXPECT_EQ(p.a.tunnels.route_to(*IpAddress::parse("10.0.0.2")), p.b_at_a);
  EXPECT_EQ(p.a.tunnels.route_to(*IpAddress::parse("10.9.9.9")), other);
  EXPECT_EQ(p.a.tunnels.route_to(*IpAddress::parse("fd00::2")), other);  // moved
  EXPECT_EQ(p.a.tunnels.route_to(*IpAddress::parse("192.0.2.1")), PeerRef{});
  p.a.tunnels.remove(p.b_at_a);
  EXPECT_EQ(p.a.tunnels.route_to(*IpAddress::parse("10.0.0.2")), other);
}

TEST(ConfiguredPeers, RefuseReplaysOfEveryMessageType) {
  Pair p;
  p.send_a();
  p.wire.settle();
  const auto seen = p.wire.seen;
  ASSERT_EQ(seen.size(), 3u);
  p.wire.advance(1s);
  EXPECT_EQ(p.wire.deliver(p.b, seen[0]), Drop::replayed_timestamp);
  EXPECT_EQ(p.wire.deliver(p.a, seen[1]), Drop::unknown_index);
  EXPECT_EQ(p.wire.deliver(p.b, seen[2]), Drop::replayed_counter);
  EXPECT_EQ(p.b.payloads.size(), 1u);
}

TEST(ConfiguredPeers, TakeReorderedPacketsOnce) {
  Pair p;
  p.send_a();
  p.wire.settle();
  p.wire.seen.clear();
  for (int i = 0; i < 50; i++) p.send_a();
  const auto sent = p.wire.seen;
  for (size_t i = sent.size(); i-- > 0;) EXPECT_EQ(p.wire.deliver(p.b, sent[i]), Drop::none) << i;
  p.wire.settle();  // the originals
  EXPECT_EQ(p.b.payloads.size(), 51u);
  EXPECT_EQ(p.b.drops[Drop::replayed_counter], 50u);
}

TEST(ConfiguredPeers, OpenPacketsOfTheOldSessionAfterARekey) {
  Pair p;
  p.send_a();
  p.wire.settle();
  p.send_a();
  const Flying late = p.wire.seen.back();
  p.wire.passes = [&](const Flying&) { return true; };
  p.wire.advance(121s);
  p.wire.seen.clear();
  p.send_a();
  p.wire.settle();
  EXPECT_EQ(p.a.count<SessionUp>(), 2u);
  EXPECT_EQ(p.wire.deliver(p.b, late), Drop::replayed_counter);  // known, so its keys are still there
}

TEST(ConfiguredPeers, AWholeBatchConfirmsOnceAndRefusesItsDuplicates) {
  Pair p;
  p.wire.passes = [](const Flying& f) { return f.type() != MessageType::transport; };
  p.send_a();
  p.wire.settle();
  p.wire.seen.clear();
  for (int i = 0; i < 3; i++) p.send_a();
  std::vector<Packet> packets;
  for (int copy = 0; copy < 2; copy++) {
    for (const Flying& f : p.wire.seen) packets.push_back(p.b.pool.copy_of(f.bytes));
  }
  packets[1].data()[20] ^= 1;  // its copy is whole
  std::vector<OpenJob> jobs;
  for (Packet& packet : packets) jobs.push_back({&packet, p.a.route(), {}, Drop::none});
  Out out;
  p.b.tunnels.open_batch(p.wire.now, jobs, out);
  p.b.tunnels.check_invariants();
  std::vector<Drop> results;
  for (const OpenJob& j : jobs) results.push_back(j.result);
  EXPECT_EQ(results, (std::vector<Drop>{Drop::none, Drop::bad_tag, Drop::none, Drop::replayed_counter,
                                        Drop::none, Drop::replayed_counter}));
  ASSERT_EQ(out.events.size(), 1u);
  EXPECT_TRUE(std::get<SessionUp>(out.events[0]).first);
}

TEST(ConfiguredPeers, StageABoundedNumberAndDropTheOldest) {
  TunnelLimits limits;
  limits.staged_packets = 4;
  Pair p({}, {}, limits);
  p.wire.passes = [](const Flying&) { return false; };
  for (size_t i = 0; i < 6; i++) p.send_a(28 + i);
  p.wire.passes = [](const Flying&) { return true; };
  p.wire.advance(6s);
  ASSERT_EQ(p.b.payloads.size(), 4u);
  EXPECT_EQ(p.b.payloads[0].size(), 30u);
  EXPECT_EQ(p.a.tunnels.count(Drop::queue_full), 2u);
}

TEST(ConfiguredPeers, KeepTheirTimestampsGrowingWhenTheCalendarGoesBack) {
  Pair p;
  p.send_a();
  p.wire.settle();
  p.wire.now.wall -= std::chrono::hours(5);
  p.wire.advance(121s);
  p.send_a();
  p.wire.settle();
  EXPECT_EQ(p.a.count<SessionUp>(), 2u);
}

TEST(ConfiguredPeers, WithoutARouteAreSaidToBeSoOrStaged) {
  Pair p;
  EXPECT_EQ(p.send_b(), Drop::staged);  // b does not know where a is: queued, nothing is sent
  EXPECT_TRUE(p.wire.seen.empty());
  p.send_a();
  p.wire.settle();
  EXPECT_EQ(p.a.payloads.size(), 1u);  // flushed once a called
}

TEST(ConfiguredPeers, BothMayCallAtOnce) {
  Pair p;
  p.send_a();
  p.wire.settle();
  p.wire.advance(600s);
  p.wire.seen.clear();
  p.send_a();
  p.send_b();
  p.wire.settle();
  p.wire.advance(6s);
  EXPECT_EQ(p.b.payloads.size(), 2u);
  EXPECT_EQ(p.a.payloads.size(), 1u);
  EXPECT_EQ(p.send_a(), Drop::none);
  EXPECT_EQ(p.send_b(), Drop::none);
  p.wire.settle();
  EXPECT_EQ(p.b.payloads.size(), 3u);
  EXPECT_EQ(p.a.payloads.size(), 2u);
}

TEST(ConfiguredPeers, AreBounded) {
  TunnelLimits limits;
  limits.configured_peers = 1;
  Pair p({}, {}, limits);
  SeededRng rng(5);
  EXPECT_EQ(
      p.a.tunnels.add_configured(p.wire.now.mono, {crypto::x25519_generate(rng).pub, {}, {}, {}, {}}).error(),
      Drop::table_full);
}

TEST(ConfiguredPeers, StrangersAreNotAnsweredUnlessAllowed) {
  Pair p;
  TestNode c{3, "192.0.2.3:3000"};
  p.wire.add(c);
  const auto hop = *c.tunnels.add_hop(p.wire.now.mono, {c.keys, p.b.keys.pub, p.b.route()});
  p.wire.call(c, hop);
  p.wire.settle();
  EXPECT_EQ(p.b.drops[Drop::unknown_peer], 1u);
  EXPECT_TRUE(p.b.sent.empty());
}

}  // namespace
}  // namespace macrovpn::encryption
