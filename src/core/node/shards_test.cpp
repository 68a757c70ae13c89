// One node driven as several shards: what they must do together, whichever of them is called.
#include <gtest/gtest.h>

#include "core/node/hostile_world_test.h"
#include "core/routing/address_rewrite.h"

namespace macrovpn::node {
namespace {

using encryption::Drop;
using Kind = ShardNote::Kind;
constexpr TunId kTun{7};

// A client, two guards and two middles (r0 ...) and one exit, each relay of two shards.
struct Shards : testing::Test {
  explicit Shards(const std::function<void(TestWorld::Host&)>& prepare = {}) {
    for (int i = 0; i < 4; i++) add("r" + std::to_string(i), "198.51.100." + std::to_string(10 + 16 * i), false);
    exit = &add("e0", "203.0.113.10", true);
    if (prepare) prepare(*exit), net.restart(*exit);
    net.add_client("client", "192.0.2.50", {.spare_circuits = 0});
    net.steer = [this](const TestWorld::Host& h, const Endpoint& from) -> size_t {
      if (&h == exit) return at_exit;
      return from.address == *IpAddress::parse(kMoved) ? 1 - at_relay : at_relay;
    };
    net.publish();
  }
  TestWorld::Host& add(const std::string& name, const std::string& address, bool is_exit) {
    return net.add_relay(name, address, is_exit, 2);
  }
  static constexpr const char* kMoved = "192.0.2.77";

  TestWorld::Host& client() { return *net.hosts["client"]; }
  const Circuit* connect(TestWorld::Host& who) {
    net.attach(who, kTun);
    net.run_until([&] { return granted(who); }, 20s);
    return net.active(who, kTun);
  }
  bool granted(TestWorld::Host& who) {
    const Circuit* c = net.active(who, kTun);
    return c != nullptr && c->granted;
  }
  TestWorld::Host& host_of(const PublicKey& key) {
    for (auto& [name, h] : net.hosts) {
      if (h->config.wireguard.pub == key) return *h;
    }
    MV_ASSERT(false);
  }
  TestWorld::Host& guard() { return host_of(net.active(client(), kTun)->hops[0].relay.wireguard); }
  // What of the client's comes out at the exit: its source address there; empty if nothing does.
  Buffer number_now() {
    exit->exit.clear();
    net.send_from_program(client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
    net.run_for(200ms);
    if (exit->exit.size() != 1) return {};
    reply = exit->exit[0];
    std::swap_ranges(reply.begin() + 12, reply.begin() + 16, reply.begin() + 16);
    return {exit->exit[0].begin() + 12, exit->exit[0].begin() + 16};
  }
  bool reply_arrives() {
    const size_t got = client().tun.size();
    net.send_from_exit(*exit, reply);
    net.run_for(200ms);
    return client().tun.size() == got + 1;
  }
  bool works() { return !number_now().empty() && reply_arrives(); }
  void talk_for(Duration d) {
    for (const Mono end = net.now.mono + d; net.now.mono < end; net.run_for(5s))
      net.send_from_program(client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
  }
  void hop() {
    net.hop(client());
    net.run_for(5s);
  }
  static size_t sessions(TestWorld::Host& h) {
    return h.shard(0).tunnels().ephemeral_count() + h.shard(1).tunnels().ephemeral_count();
  }
  static size_t leases(TestWorld::Host& h) { return h.shard(0).exit()->leases() + h.shard(1).exit()->leases(); }
  static uint64_t extended(TestWorld::Host& h) {
    return h.shard(0).relay()->counters().extended + h.shard(1).relay()->counters().extended;
  }
  void check_all() {
    for (auto& [name, h] : net.hosts) {
      for (size_t i = 0; i < h->shards && !h->dead; i++) h->shard(i).check_invariants();
    }
  }
  // Every initiation that comes to `to` from a relay, or from `caller` to anybody, as the wire has it and from where.
  void catch_builds(TestWorld::Host& to) { catch_if([&to](const TestWorld::Flight& f) { return f.to == &to; }); }
  void catch_calls_of(TestWorld::Host& caller) { catch_if([&caller](const TestWorld::Flight& f) { return f.from == &caller; }); }
  void catch_if(const std::function<bool(const TestWorld::Flight&)>& wanted) {
    net.tap = [this, wanted](const TestWorld::Flight& f) {
      if (!wanted(f) || f.socket != kListenSocket) return;
      Buffer d(f.bytes.begin(), f.bytes.end() - 1);
      const auto port = static_cast<uint16_t>((f.bytes.back() & 15) == 1 ? 51821 + (f.bytes.back() >> 4) : 51820);
      if (encryption::MaskKey(net.network.id.bytes, f.to->config.wireguard.pub).unmask(d) && d[0] == 1)
        builds.emplace_back(Endpoint{f.from->address, port}, Buffer(f.bytes.begin(), f.bytes.end() - 1));
    };
  }

  TestWorld net{5};
  TestWorld::Host* exit = nullptr;
  size_t at_relay = 0, at_exit = 0;
  Buffer reply;
  std::vector<std::pair<Endpoint, Buffer>> builds;
};

struct EitherShard : Shards, testing::WithParamInterface<size_t> {};
INSTANTIATE_TEST_SUITE_P(Shards, EitherShard, testing::Values(0, 1));

TEST_P(EitherShard, CarriesACircuitWithoutTellingTheOtherAnything) {
  at_relay = at_exit = GetParam();
  ASSERT_NE(connect(client()), nullptr);
  EXPECT_TRUE(works());
  talk_for(150s);  // sessions are renewed meanwhile
  EXPECT_TRUE(works());
  EXPECT_TRUE(net.crossed.empty());
  EXPECT_EQ(exit->shard(1 - GetParam()).counters().datagrams, 0u);
  check_all();
}

TEST_F(Shards, GiveTheirLeasesNumbersAndIdsOfTheirOwn) {
  for (uint8_t shard : {0, 1}) {
    at_exit = shard;
    const Circuit* c = connect(client());
    ASSERT_NE(c, nullptr);
    EXPECT_EQ(routing::shard_of(c->lease), ShardId{shard});
    const auto number = number_now();
    ASSERT_EQ(number.size(), 4u);
    EXPECT_TRUE(routing::private_network(IpFamily::v4, {ShardId{shard}, 2}).contains(IpAddress::v4(load_be32(number.data()))));
    net.detach(client(), kTun);
    net.run_for(1s);
  }
}

// ---- callers that move

TEST_F(Shards, ServeACallerThatMovedWhereHisSessionIs) {
  ASSERT_NE(connect(client()), nullptr);
  const auto number = number_now();
  const auto id = net.active(client(), kTun)->id;
  TestWorld::Host& g = guard();
  net.move(client(), kMoved);  // datagrams come to the other shard from now on
  EXPECT_EQ(number_now(), number);
  EXPECT_TRUE(reply_arrives());
  EXPECT_GT(net.crossed[Kind::datagram], 0u);
  EXPECT_GT(g.shard(1).counters().strays, 0u);
  EXPECT_EQ(net.active(client(), kTun)->id, id);
  EXPECT_EQ(sessions(g), 1u);
  check_all();
}

// A rekey comes to the other shard too.  As a stranger there he would lose his legs.
TEST_F(Shards, KnowACallerThatMovedWhenHeRenewsHisSession) {
  ASSERT_NE(connect(client()), nullptr);
  const auto number = number_now();
  const auto id = net.active(client(), kTun)->id;
  TestWorld::Host& g = guard();
  net.move(client(), kMoved);
  talk_for(400s);
  EXPECT_GT(net.crossed[Kind::initiation], 0u);
  EXPECT_EQ(number_now(), number);
  EXPECT_TRUE(reply_arrives());
  EXPECT_EQ(net.active(client(), kTun)->id, id);
  EXPECT_EQ(sessions(g), 1u);
  EXPECT_EQ(g.shard(1).tunnels().ephemeral_count(), 0u);
  EXPECT_EQ(net.count<LeaseMoved>(client()) + net.count<LeaseLost>(client()), 0u);
  check_all();
}

TEST_F(Shards, AreTakenForOneByWhoComesBackAfterHisSessionLapsed) {
  ASSERT_NE(connect(client()), nullptr);
  TestWorld::Host& g = guard();
  net.detach(client(), kTun);
  net.run_for(400s);
  EXPECT_EQ(sessions(g), 0u);
  EXPECT_EQ(g.commons->callers().size(), 0u);
  net.move(client(), kMoved);
  ASSERT_NE(connect(client()), nullptr);
  EXPECT_TRUE(works());
}

TEST_F(Shards, HandADatagramOverOnceAndNoFurther) {
  ASSERT_NE(connect(client()), nullptr);
  TestWorld::Host& g = guard();
  net.crossed.clear();
  Buffer stray(64);  // a transport message with an index of shard 1 that nobody has, plain and masked
  stray[0] = 4;
  store_le32(&stray[4], 1u << 28 | 99);
  net.send_forged(*Endpoint::parse("192.0.2.99:9"), g, kListenSocket, stray);
  encryption::MaskKey(net.network.id.bytes, g.config.wireguard.pub).mask(stray);
  net.send_forged(*Endpoint::parse("192.0.2.99:9"), g, kListenSocket, stray);
  net.run_for(1s);
  EXPECT_EQ(net.crossed[Kind::datagram], 2u);
  EXPECT_EQ(g.shard(1).counters().strays, 0u);
  EXPECT_TRUE(works());
}

// ---- leases

struct Leases : Shards {
  Leases() {
    MV_ASSERT(connect(client()) != nullptr);
    net.run_for(3s);
    number = number_now();
    lease = net.active(client(), kTun)->lease;
  }
  void expect_the_same() {
    EXPECT_EQ(number_now(), number);
    EXPECT_TRUE(reply_arrives());
    EXPECT_EQ(net.active(client(), kTun)->lease, lease);
    EXPECT_EQ(leases(*exit), 1u);
    EXPECT_EQ(net.count<LeaseLost>(client()), 0u);
    check_all();
  }
  Buffer number;
  routing::LeaseId lease{};
};

TEST_F(Leases, MoveToASessionOfTheOtherShardAndBack) {
  for (int i = 0; i < 3; i++) {
    at_exit = 1;
    hop();
    expect_the_same();
    EXPECT_EQ(exit->shard(1).exit()->leases(), 0u);
    at_exit = 0;
    hop();
    expect_the_same();
  }
  EXPECT_GE(net.count<LeaseMoved>(client()), 6u);
  EXPECT_GE(net.crossed[Kind::taken], 3u);
  EXPECT_GT(net.crossed[Kind::outward], 0u);
  EXPECT_GT(net.crossed[Kind::inward], 0u);
}

TEST_F(Leases, MoveBetweenSessionsOfTheOtherShard) {
  at_exit = 1;
  for (int i = 0; i < 4; i++) hop();
  expect_the_same();
  EXPECT_GE(net.count<LeaseMoved>(client()), 4u);
}

TEST_F(Leases, AreHeldByASessionOfTheOtherShardForLong) {
  at_exit = 1;
  hop();
  talk_for(400s);
  expect_the_same();
}

TEST_F(Leases, AreGivenBackThroughTheOtherShard) {
  at_exit = 1;
  hop();
  net.detach(client(), kTun);
  net.run_for(1s);
  EXPECT_GT(net.crossed[Kind::release], 0u);
  EXPECT_EQ(leases(*exit), 0u);
  check_all();
}

TEST_F(Leases, AreForgottenAfterTheLastSessionOfTheOtherShardWent) {
  at_exit = 1;
  hop();
  client().dead = true;
  net.run_for(250s);
  EXPECT_EQ(sessions(*exit), 0u);
  EXPECT_EQ(exit->shard(1).exit()->sessions_elsewhere(), 0u);
  EXPECT_GT(net.crossed[Kind::gone], 0u);
  EXPECT_EQ(leases(*exit), 1u);
  net.run_for(130s);
  EXPECT_EQ(leases(*exit), 0u);
  check_all();
}

TEST_F(Leases, SurviveThatPacketsBetweenShardsAreLost) {
  at_exit = 1;
  hop();
  net.lose_crossing = [](const ShardMessage& m) { return m.note.may_be_lost(); };
  EXPECT_TRUE(number_now().empty());
  net.lose_crossing = {};
  expect_the_same();
}

// The secret is checked by the lease's own shard, for whichever session asks.
TEST_F(Leases, AreNotMovedWithoutTheSecret) {
  at_exit = 1;
  auto& thief = net.add_client("thief", "192.0.2.66", {.spare_circuits = 0});
  net.now.wall += 1s;
  net.publish();
  const Circuit* c = connect(thief);
  ASSERT_NE(c, nullptr);
  net.run_for(3s);
  routing::LeaseFrame f;
  f.flags = routing::kLeaseResume;
  f.mtu = 1280;
  f.id = lease;
  f.resume_mac = {1, 2, 3};
  net.crossed.clear();
  net.send_frame(thief, c->exit().peer, routing::write_lease(f));
  net.send_frame(thief, c->exit().peer, routing::write_lease_id(routing::FrameType::release, lease));
  net.run_for(1s);
  EXPECT_EQ(net.crossed[Kind::ask], 1u);
  EXPECT_EQ(net.crossed[Kind::taken], 0u);
  EXPECT_EQ(exit->shard(0).exit()->leases(), 1u);
  EXPECT_EQ(number_now(), number);
  EXPECT_TRUE(reply_arrives());
}

// Each session of the other shard sends from its own lease only, whatever addresses it writes.
TEST_F(Leases, LetASessionOfTheOtherShardSendFromItsOwnAddressOnly) {
  at_exit = 1;
  hop();
  exit->exit.clear();
  const Circuit* c = net.active(client(), kTun);
  const uint64_t before = exit->shard(0).exit()->counters().without_lease;
  net.command(client(), [&](Node& n, Effects& fx) {
    n.send_frame(net.now, c->exit().peer, udp_packet("10.10.0.3", "192.0.2.1", 100), fx);
  });
  net.run_for(1s);
  EXPECT_TRUE(exit->exit.empty());
  EXPECT_EQ(exit->shard(0).exit()->counters().without_lease, before + 1);
}

// ---- what is one for all

TEST_F(Shards, KnowARepeatedInitiationWhicheverItComesTo) {
  catch_calls_of(client());
  ASSERT_NE(connect(client()), nullptr);
  net.tap = {};
  TestWorld::Host& g = guard();
  ASSERT_EQ(builds.size(), 1u);
  net.send_forged(*Endpoint::parse("192.0.2.77:9"), g, kListenSocket, builds[0].second);
  net.run_for(1s);
  EXPECT_EQ(net.crossed[Kind::initiation], 1u);
  EXPECT_EQ(g.shard(0).tunnels().count(Drop::replayed_timestamp), 1u);
  EXPECT_EQ(sessions(g), 1u);
}

TEST_F(Shards, RefuseEarlyDataThatTheOtherHasTaken) {
  catch_calls_of(client());
  ASSERT_NE(connect(client()), nullptr);
  net.tap = {};
  TestWorld::Host& g = guard();
  ASSERT_EQ(builds.size(), 1u);
  client().dead = true;
  net.run_for(250s);  // his session has lapsed: by his key nobody knows him any more
  EXPECT_EQ(sessions(g), 0u);
  const uint64_t before = extended(g);
  net.send_forged(*Endpoint::parse("192.0.2.77:9"), g, kListenSocket, builds[0].second);
  net.run_for(1s);
  EXPECT_EQ(g.shard(1).tunnels().count(Drop::early_replayed), 1u);
  EXPECT_EQ(extended(g), before);
}

TEST_F(Shards, RefuseATrailerThatTheOtherHasSeen) {
  catch_builds(*exit);
  ASSERT_NE(connect(client()), nullptr);
  net.tap = {};
  ASSERT_EQ(builds.size(), 1u);
  at_exit = 1;
  net.send_forged(builds[0].first, *exit, kListenSocket, builds[0].second);
  net.run_for(1s);
  EXPECT_EQ(exit->shard(1).counters().replayed_trailer, 1u);
  EXPECT_EQ(sessions(*exit), 1u);
}

TEST_F(Shards, NumberTheirTrailersTogether) {
  ASSERT_NE(connect(client()), nullptr);
  for (int i = 0; i < 30; i++) {
    at_relay = static_cast<size_t>(i / 2 % 2);
    at_exit = static_cast<size_t>(i / 3 % 2);
    hop();
  }
  EXPECT_TRUE(works());
  size_t both = 0;  // middles of which either shard has called the exit
  for (auto& [name, h] : net.hosts) {
    both += h->config.relay && h->shard(0).relay()->counters().extended > 3 && h->shard(1).relay()->counters().extended > 3;
  }
  EXPECT_GT(both, 0u);
  for (auto& [name, h] : net.hosts) {
    for (size_t i = 0; i < h->shards && h->config.relay; i++) EXPECT_EQ(h->shard(i).counters().replayed_trailer, 0u) << name;
  }
}

TEST_F(Shards, OpenBuildsToThePrekeyOfTheFirst) {
  at_relay = at_exit = 1;
  const Circuit* c = connect(client());
  ASSERT_NE(c, nullptr);
  EXPECT_FALSE(c->hop_by_hop);
  EXPECT_EQ(net.count<PrekeyChanged>(*exit), 1u);  // one for all
  net.run_for(std::chrono::hours(25));
  EXPECT_EQ(net.count<PrekeyChanged>(*exit), 2u);
}

struct OneLease : Shards {
  OneLease() : Shards([](TestWorld::Host& h) { h.config.leases.leases = 1; }) {}
};
TEST_F(OneLease, IsForAllShardsTogether) {
  ASSERT_NE(connect(client()), nullptr);
  ASSERT_TRUE(granted(client()));
  auto& other = net.add_client("other", "192.0.2.60", {.spare_circuits = 0});
  net.now.wall += 1s;
  net.publish();
  at_exit = 1;
  connect(other);
  EXPECT_FALSE(granted(other));
  EXPECT_EQ(leases(*exit), 1u);
}

struct FewHalfOpen : Shards {
  FewHalfOpen() : Shards([](TestWorld::Host& h) { h.config.tunnels.half_open = 5; }) {}
};
TEST_F(FewHalfOpen, AreFewForAllShardsTogether) {
  Stranger stranger(9);
  for (int i = 0; i < 20; i++) {
    at_exit = static_cast<size_t>(i % 2);
    const auto call = stranger.call(net.now, *exit);
    Buffer d = stranger.datagram(call, {});
    encryption::MaskKey(net.network.id.bytes, exit->config.wireguard.pub).mask_handshake(d);
    net.send_forged({IpAddress::v4(0xc6336480u + static_cast<uint32_t>(i)), 9}, *exit, kListenSocket, d);
    net.run_for(50ms);
  }
  EXPECT_EQ(sessions(*exit), 5u);
  EXPECT_GT(exit->shard(0).tunnels().ephemeral_count(), 0u);
  EXPECT_GT(exit->shard(1).tunnels().ephemeral_count(), 0u);
}

}  // namespace
}  // namespace macrovpn::node
