// Build messages that were bent, replayed, reordered and cut: at an entry, and between two relays.
#include <gtest/gtest.h>

#include "core/node/hostile_world_test.h"

namespace macrovpn::node {
namespace {

using encryption::Drop;

constexpr TunId kTun{7};

struct Builds : testing::Test {
  Builds() { net.publish(); }
  HostileNet::Build fresh() { return net.catch_build(net.client(), TunId{next_tun++}); }
  // From an address of its own each time, so that no budget of a source ends.
  void send(TestWorld::Host& to, Bytes datagram) {
    const uint32_t n = next_source++;
    net.send_forged({IpAddress::v4(0xc0000280u + n % 100), static_cast<uint16_t>(1000 + n)}, to,
                    kListenSocket, datagram);
    net.run_for(300ms);
  }
  HostileNet net;
  uint32_t next_tun = 100, next_source = 0;
};

struct Before {
  explicit Before(const TestWorld::Host& h)
      : host(h),
        sessions(h.node->tunnels().ephemeral_count()),
        extended(HostileNet::extended(h)),
        refused(HostileNet::refusals(h)),
        sent(h.bytes_out) {}
  const TestWorld::Host& host;
  size_t sessions;
  uint64_t extended, refused, sent;
  bool nothing_happened() const {
    return host.node->tunnels().ephemeral_count() == sessions && HostileNet::extended(host) == extended &&
           host.bytes_out == sent;
  }
  uint64_t refusals() const { return HostileNet::refusals(host) - refused; }
};

TEST_F(Builds, ABentByteOfTheMessageIsRefusedWhereverItIs) {
  const auto build = fresh();
  ASSERT_NE(build.to, nullptr);
  const Buffer whole = net.bare(*build.to, build.datagram);
  for (size_t at = 0; at < kMac2At; at++) {
    Buffer bent = whole;
    bent[at] ^= 1;
    const Before before(*build.to);
    send(*build.to, net.masked(*build.to, bent));
    EXPECT_TRUE(before.nothing_happened()) << at;
    EXPECT_EQ(before.refusals(), 1u) << at;
  }
  net.check_all();
}

// mac1 says only that the sender knows whom he calls; what is behind it must hold without it.
TEST_F(Builds, ABentByteUnderARightMac1IsRefusedToo) {
  const auto build = fresh();
  const Buffer whole = net.bare(*build.to, build.datagram);
  const uint64_t bad = HostileNet::count(*build.to, Drop::bad_handshake);
  for (size_t at = kEphemeralAt; at < kMac1At; at++) {
    Buffer bent = whole;
    bent[at] ^= 1;
    HostileNet::fix_mac1(*build.to, bent);
    const Before before(*build.to);
    send(*build.to, net.masked(*build.to, bent));
    EXPECT_TRUE(before.nothing_happened()) << at;
    EXPECT_EQ(before.refusals(), 1u) << at;
  }
  EXPECT_EQ(HostileNet::count(*build.to, Drop::bad_handshake) - bad, kMac1At - kEphemeralAt);
}

TEST_F(Builds, BentEarlyDataIsNotCarriedOut) {
  const auto first = fresh();
  const Buffer sample = net.bare(*first.to, first.datagram);
  const size_t early = load_le16(&sample[kLengthAt]);
  ASSERT_GT(early, 400u);
  size_t tried = 0;
  for (size_t at = kEarlyAt; at < kEarlyAt + early; at += tried < 12 ? 1 : 41, tried++) {
    const auto build = fresh();
    Buffer bent = net.bare(*build.to, build.datagram);
    bent[at] ^= 0x80;
    const Before before(*build.to);
    const uint64_t bad = HostileNet::count(*build.to, Drop::early_bad);
    send(*build.to, net.masked(*build.to, bent));
    EXPECT_EQ(HostileNet::count(*build.to, Drop::early_bad), bad + 1) << at;
    EXPECT_EQ(HostileNet::extended(*build.to), before.extended) << at;
  }
  EXPECT_GT(tried, 20u);
  net.check_all();
}

TEST_F(Builds, ALengthThatLiesIsRefusedOrReadsAsBadEarlyData) {
  for (const unsigned bit : {0u, 1u, 4u, 8u, 10u, 11u, 14u, 15u}) {
    const auto build = fresh();
    Buffer bent = net.bare(*build.to, build.datagram);
    store_le16(&bent[kLengthAt], static_cast<uint16_t>(load_le16(&bent[kLengthAt]) ^ 1u << bit));
    const Before before(*build.to);
    send(*build.to, net.masked(*build.to, bent));
    EXPECT_EQ(HostileNet::extended(*build.to), before.extended) << bit;
    EXPECT_EQ(before.refusals(), 1u) << bit;
  }
}

TEST_F(Builds, PaddingAndMac2CarryNothing) {
  for (const bool in_mac2 : {true, false}) {
    const auto build = fresh();
    Buffer bent = net.bare(*build.to, build.datagram);
    (in_mac2 ? bent[kMac2At + 3] : bent.back()) ^= 1;
    const Before before(*build.to);
    send(*build.to, net.masked(*build.to, bent));
    EXPECT_EQ(HostileNet::extended(*build.to), before.extended + 1);
  }
}

TEST_F(Builds, CutAnywhereTheyAreRefused) {
  const auto build = fresh();
  const Buffer whole = net.bare(*build.to, build.datagram);
  const size_t needed = kEarlyAt + load_le16(&whole[kLengthAt]);
  for (size_t size = 0; size < needed; size += size < 160 ? 1 : 37) {
    const Before before(*build.to);
    // Masked when whole, then cut: as a wire or a middlebox would do it.
    send(*build.to, Bytes(build.datagram).first(size));
    EXPECT_TRUE(before.nothing_happened()) << size;
    EXPECT_EQ(before.refusals(), 1u) << size;
  }
}

TEST_F(Builds, RandomDatagramsAreCountedAndDropped) {
  SeededRng rng(99);
  TestWorld::Host& relay = *net.hosts["r0"];
  for (int i = 0; i < 2'000; i++) {
    Buffer noise(rng.below(1400));
    rng.fill(noise);
    if (!noise.empty() && rng.below(3) == 0) {  // some look like WireGuard
      noise.resize(std::max<size_t>(noise.size(), 32));
      store_le32(noise.data(), 1 + static_cast<uint32_t>(rng.below(4)));
    }
    const Before before(relay);
    net.send_forged({IpAddress::v4(0xc0000280u), 9}, relay, rng.below(4) == 0 ? kEgressSocket : kListenSocket,
                    noise);
    net.run_for(25ms);
    ASSERT_TRUE(before.nothing_happened()) << i;
    ASSERT_EQ(before.refusals(), 1u) << i;
  }
}

TEST_F(Builds, AReplayIsRefusedByItsTimestampWhileTheCallerIsKnown) {
  const auto build = fresh();
  send(*build.to, build.datagram);
  const Before before(*build.to);
  const uint64_t replays = HostileNet::count(*build.to, Drop::replayed_timestamp);
  for (int i = 0; i < 5; i++) send(*build.to, build.datagram);
  EXPECT_TRUE(before.nothing_happened());
  EXPECT_EQ(HostileNet::count(*build.to, Drop::replayed_timestamp), replays + 5);
}

TEST_F(Builds, AReplayIsNotForwardedAfterTheCallerIsForgotten) {
  const auto build = fresh();
  send(*build.to, build.datagram);
  const uint64_t extended = HostileNet::extended(*build.to);
  ASSERT_EQ(extended, 1u);
  net.run_for(15s);
  ASSERT_EQ(build.to->node->tunnels().ephemeral_count(), 0u);
  send(*build.to, build.datagram);
  EXPECT_EQ(HostileNet::count(*build.to, Drop::early_replayed), 1u);
  net.run_for(std::chrono::minutes(50));  // the slot is over
  send(*build.to, build.datagram);
  EXPECT_EQ(HostileNet::count(*build.to, Drop::early_slot), 1u);
  EXPECT_EQ(HostileNet::extended(*build.to), extended);
}

TEST_F(Builds, AfterARestartOldOnesAreRefusedAndNewOnesTakenAtOnce) {
  const auto old = fresh(), older = fresh();
  ASSERT_EQ(old.to, older.to);
  TestWorld::Host& relay = *old.to;
  send(relay, older.datagram);  // used before the restart: its mark is lost with the memory
  net.restart(relay);
  net.now.wall += 1s;
  net.publish();
  for (const auto& b : {old, older}) send(relay, b.datagram);
  EXPECT_EQ(HostileNet::count(relay, Drop::early_bad), 2u);
  EXPECT_EQ(HostileNet::extended(relay), 0u);
  const Circuit* c = net.connect(net.client(), kTun);
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(&net.host_of(c->hops[0]), &relay);
  EXPECT_FALSE(c->hop_by_hop);
  EXPECT_EQ(c->ready_after, 120ms);
}

// Two initiations of one static key, the later one first.
TEST_F(Builds, AnOlderInitiationAfterANewerOneIsRefused) {
  TestWorld::Host& relay = *net.hosts["r0"];
  SeededRng rng(6);
  PacketPool pool;
  encryption::Tunnels caller(crypto::x25519_generate(rng), net.network.id.bytes, ShardId{0}, pool, rng);
  const auto hop = caller.add_hop(net.now.mono, {crypto::x25519_generate(rng), relay.config.wireguard.pub,
                                                 Route::udp(kListenSocket, net.listens(relay), kPlain)});
  const auto first = caller.start_handshake(net.now, *hop), second = caller.start_handshake(net.now, *hop);
  send(relay, second->message);
  const Before before(relay);
  send(relay, first->message);
  EXPECT_TRUE(before.nothing_happened());
  EXPECT_EQ(HostileNet::count(relay, Drop::replayed_timestamp), 1u);
}

// ---- between relays

struct Forwarded : Builds {
  // What the guard sent to the middle for the client's build.
  Forwarded() {
    net.drop = [&](const TestWorld::Flight& f) {
      if (f.from == &net.client() || f.to == &net.client() || middle != nullptr) return false;
      middle = f.to;
      guard = f.from;
      datagram = f.bytes;
      datagram.pop_back();
      return true;
    };
    net.attach(net.client(), kTun);
    net.run_for(60ms);
    net.detach(net.client(), kTun);
    net.run_for(1s);
    net.drop = {};
    whole = net.bare(*middle, datagram);
    trailer_at = kEarlyAt + (load_le16(&whole[kLengthAt]) & 0x7ff);
  }
  void send_on(Bytes d) {
    net.send_forged(net.calls_from(*guard), *middle, kListenSocket, d);
    net.run_for(100ms);
  }
  TestWorld::Host *guard = nullptr, *middle = nullptr;
  Buffer datagram, whole;
  size_t trailer_at = 0;
};

TEST_F(Forwarded, ABentTrailerIsRefusedWhereverItIs) {
  for (size_t at = trailer_at; at < trailer_at + encryption::kTrailerSize; at++) {
    Buffer bent = whole;
    bent[at] ^= 1;
    const Before before(*middle);
    send_on(net.masked(*middle, bent));
    EXPECT_TRUE(before.nothing_happened()) << at - trailer_at;
    EXPECT_EQ(before.refusals(), 1u) << at - trailer_at;
  }
  const NodeCounters& c = middle->node->counters();
  EXPECT_EQ(c.unknown_relay, 20u);  // bytes of the relay's id
  EXPECT_EQ(c.malformed, 3u);       // the zeros
  EXPECT_EQ(c.bad_trailer, 25u);    // count, number, MAC
}

TEST_F(Forwarded, TheTrailerCoversMessageAndEarlyData) {
  for (const size_t at :
       {kEphemeralAt, kStaticAt, kTimestampAt, kMac1At, kMac2At, kEarlyAt, trailer_at - 1}) {
    Buffer bent = whole;
    bent[at] ^= 1;
    const Before before(*middle);
    send_on(net.masked(*middle, bent));
    EXPECT_TRUE(before.nothing_happened()) << at;
  }
  EXPECT_EQ(middle->node->counters().bad_trailer, 7u);
}

// A guard's initiation, caught once and sent again and again, must not use up that guard's share at the
// middle.
TEST_F(Forwarded, ReplaysCostTheRelayBeforeNothing) {
  send_on(datagram);
  const Before before(*middle);
  for (int i = 0; i < 3'000; i++) {
    net.send_forged(net.calls_from(*guard), *middle, kListenSocket, datagram);
    if (i % 50 == 0) net.run_for(1ms);
  }
  net.run_for(21ms);
  EXPECT_EQ(middle->node->counters().replayed_trailer, 3'000u);
  EXPECT_TRUE(before.nothing_happened());
  EXPECT_EQ(HostileNet::count(*middle, Drop::rate_limited), 0u);
  // Honest builds over the same two relays go through at the same moment.
  net.client().config.client->pinned_path = {net.id_of(*guard), net.id_of(*middle),
                                             net.id_of(*net.hosts["e0"])};
  net.restart(net.client());
  net.now.wall += 1s;
  net.publish();
  for (int i = 0; i < 500; i++) net.send_forged(net.calls_from(*guard), *middle, kListenSocket, datagram);
  const Circuit* c = net.connect(net.client(), kTun);
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(c->ready_after, 120ms);
}

TEST_F(Forwarded, ARestartedRelayIsHeardAtOnce) {
  send_on(datagram);
  net.run_for(1s);
  net.restart(*guard);
  net.publish();
  net.client().config.client->pinned_path = {net.id_of(*guard), net.id_of(*middle),
                                             net.id_of(*net.hosts["e0"])};
  net.restart(net.client());
  net.now.wall += 1s;
  net.publish();
  EXPECT_NE(net.connect(net.client(), kTun), nullptr);
  EXPECT_EQ(middle->node->counters().replayed_trailer, 0u);
}

}  // namespace
}  // namespace macrovpn::node
