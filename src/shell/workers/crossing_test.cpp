#include "shell/workers/crossing.h"

#include <gtest/gtest.h>

#include <set>

#include "shell/workers/workers.h"

namespace macrovpn::shell {
namespace {

using node::ShardMessage;
using node::ShardNote;
using Kind = ShardNote::Kind;
constexpr ShardId kA{0}, kB{1};

struct Crossings : testing::Test {
  PacketPool pool;
  ShardMessage message(ShardId to, Kind kind, uint64_t number, size_t size = 0) {
    ShardMessage m;
    m.to = to;
    m.note.kind = kind;
    m.note.session = {number};
    if (size != 0) m.packet = pool.copy_of(std::vector<uint8_t>(size, static_cast<uint8_t>(number)));
    return m;
  }
  static void send(Crossing& c, ShardId from, const ShardMessage& m) { c.send(from, {&m, 1}); }
  // What is there for `to`.
  std::vector<ShardMessage> all(Crossing& c, ShardId to) {
    std::vector<ShardMessage> out;
    while (!c.receive(to, pool, out, 7)) {
    }
    return out;
  }
};

TEST_F(Crossings, CarryWhatIsSaidWhole) {
  Crossing c(3);
  ShardMessage m = message(kB, Kind::initiation, 7, 1200);
  m.note.remote = *Endpoint::parse("[2001:db8::7]:99");
  m.note.mask = {node::MaskName::Kind::pair, PublicKey{{1, 2, 3}}};
  m.note.relays_before = 3;
  m.note.caller = caller_key(IpAddress::v4(0xc0000201));
  m.note.h1[31] = 9;
  send(c, ShardId{2}, m);
  send(c, ShardId{2}, message(kB, Kind::gone, 8));
  const auto got = all(c, kB);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].to, kB);
  EXPECT_EQ(got[0].note.kind, Kind::initiation);
  EXPECT_EQ(got[0].note.remote, m.note.remote);
  EXPECT_EQ(got[0].note.mask.relay, m.note.mask.relay);
  EXPECT_EQ(got[0].note.relays_before, 3u);
  EXPECT_EQ(got[0].note.caller, m.note.caller);
  EXPECT_EQ(got[0].note.h1, m.note.h1);
  ASSERT_EQ(got[0].packet.size(), 1200u);
  EXPECT_EQ(got[0].packet.data()[1199], 7);
  EXPECT_GE(got[0].packet.headroom(), kPacketHeadroom);  // it will be sealed
  EXPECT_EQ(got[1].note.kind, Kind::gone);
  EXPECT_FALSE(got[1].packet);
  EXPECT_TRUE(all(c, kA).empty());
}

TEST_F(Crossings, LosePacketsWhenFullAndCountThem) {
  Crossing c(2, 1 << 14);
  for (uint64_t i = 0; i < 100; i++) send(c, kA, message(kB, Kind::outward, i, 1000));
  const auto got = all(c, kB);
  EXPECT_GT(got.size(), 8u);
  EXPECT_EQ(got.size() + c.lost(kA), 100u);
  for (size_t i = 0; i < got.size(); i++) EXPECT_EQ(got[i].note.session.value, i);
  EXPECT_FALSE(c.keeps(kA));
}

// Anybody can send strays: they must not push out what comes from sessions.
TEST_F(Crossings, LetStraysFillOneHalfOnly) {
  Crossing c(2, 1 << 14);
  for (uint64_t i = 0; i < 100; i++) send(c, kA, message(kB, Kind::datagram, i, 1000));
  const uint64_t lost = c.lost(kA);
  for (uint64_t i = 0; i < 4; i++) send(c, kA, message(kB, Kind::inward, 1000 + i, 1000));
  EXPECT_EQ(c.lost(kA), lost);
  const auto got = all(c, kB);
  EXPECT_LE(got.size() - 4, (1u << 14) / 2 / 1000);
  EXPECT_EQ(got.back().note.session.value, 1003u);
}

TEST_F(Crossings, KeepWhatMustNotBeLostAndItsOrder) {
  Crossing c(2, 1 << 14);
  for (uint64_t i = 0; i < 1000; i++) send(c, kA, message(kB, i % 2 ? Kind::frame : Kind::gone, i, i % 2 ? 100 : 0));
  EXPECT_TRUE(c.keeps(kA));
  EXPECT_EQ(c.lost(kA), 0u);
  std::vector<uint64_t> order;
  for (int round = 0; round < 1000 && order.size() < 1000; round++) {
    for (const auto& m : all(c, kB)) order.push_back(m.note.session.value);
    c.send(kA, {});
  }
  ASSERT_EQ(order.size(), 1000u);
  for (uint64_t i = 0; i < 1000; i++) ASSERT_EQ(order[i], i);
  EXPECT_FALSE(c.keeps(kA));
}

TEST_F(Crossings, WhatWaitsForOneShardHoldsUpNoOther) {
  Crossing c(3, 1 << 14);
  for (uint64_t i = 0; i < 500; i++) send(c, kA, message(kB, Kind::gone, i));
  EXPECT_TRUE(c.keeps(kA));
  send(c, kA, message(ShardId{2}, Kind::outward, 7, 1000));
  send(c, kA, message(ShardId{2}, Kind::gone, 8));
  EXPECT_EQ(all(c, ShardId{2}).size(), 2u);
  EXPECT_EQ(c.lost(kA), 0u);
}

TEST_F(Crossings, PacketsLeaveRoomForWhatMustNotBeLost) {
  Crossing c(2, 1 << 14);
  for (uint64_t i = 0; i < 100; i++) send(c, kA, message(kB, Kind::outward, i, 1000));
  EXPECT_GT(c.lost(kA), 0u);
  send(c, kA, message(kB, Kind::gone, 8));
  EXPECT_FALSE(c.keeps(kA));
}

TEST_F(Crossings, KeepOnlySoMuchForAShardThatTakesNothing) {
  Crossing c(2, 1 << 14);
  const size_t many = Crossing::kMostKept + 1000;
  for (uint64_t i = 0; i < many; i++) send(c, kA, message(kB, Kind::gone, i));
  EXPECT_GT(c.lost(kA), 0u);
  EXPECT_LT(c.lost(kA), 1000u);
}

TEST_F(Crossings, OfSeveralSendersNoneWaitsForTheOthers) {
  Crossing c(3);
  for (uint64_t i = 0; i < 50; i++) {
    send(c, kA, message(ShardId{2}, Kind::outward, i, 100));
    send(c, kB, message(ShardId{2}, Kind::outward, 1000 + i, 100));
  }
  std::vector<ShardMessage> first, second;
  EXPECT_FALSE(c.receive(ShardId{2}, pool, first, 60));
  EXPECT_TRUE(c.receive(ShardId{2}, pool, second, 60));
  EXPECT_EQ(first.size() + second.size(), 100u);
}

// ---- threads

node::NodeConfig relay() {
  SeededRng rng(3);
  node::NodeConfig c;
  c.wireguard = crypto::x25519_generate(rng);
  c.identity = crypto::ed25519_generate(rng);
  c.relay = node::RelayConfig{true, false, {}, {}};
  return c;
}

TEST(Workers, RunWhatTheyAreAskedOnTheirOwnThreadsAndEnd) {
  OsRng rng;
  Workers workers(4);
  node::NodeConfig config = relay();
  workers.share(config, rng);
  workers.make_drivers(config);
  const auto here = std::this_thread::get_id();
  std::set<std::thread::id> seen;
  const auto look = [&](Worker&) { seen.insert(std::this_thread::get_id()); };
  workers.ask_others(look);
  EXPECT_EQ(seen, std::set{here});  // not started yet
  workers.start();
  seen.clear();
  for (int i = 0; i < 100; i++) workers.ask_others(look);
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_FALSE(seen.contains(here));
  workers.ask_others([](Worker& w) { w.driver().set_service(peers::Service::draining); });
  workers.stop();
  seen.clear();
  workers.ask_others(look);
  EXPECT_EQ(seen, std::set{here});
}

TEST(Workers, TalkToEachOtherThroughTheirBells) {
  OsRng rng;
  Workers workers(2);
  node::NodeConfig config = relay();
  workers.share(config, rng);
  workers.make_drivers(config);
  Reactor reactor;
  PacketPool pool;
  Driver own(reactor, workers.config_of(config, 0), pool, rng);
  workers.join(reactor, pool, own);
  own.start();
  workers.start();
  // A stray for the other shard, as the socket would have given it: it is counted there as for nobody.
  std::vector<uint8_t> stray(64);
  stray[0] = 4;
  store_le32(&stray[4], 1u << 28 | 5);
  const auto refused = [&] {
    uint64_t n = 0;
    workers.ask_others([&](Worker& w) { n = w.driver().node().tunnels().count(encryption::Drop::unknown_index); });
    return n;
  };
  node::Effects fx;
  node::Datagram d{kListenSocket, *Endpoint::parse("192.0.2.9:9"), pool.copy_of(stray), {}};
  own.node().on_datagrams(reactor.now(), {&d, 1}, fx);
  ASSERT_EQ(fx.to_shards.size(), 1u);
  Crossing& crossing = workers.crossing();
  crossing.send(ShardId{0}, fx.to_shards);
  for (int i = 0; i < 10'000 && refused() == 0; i++) std::this_thread::yield();
  EXPECT_EQ(refused(), 1u);
  workers.stop();
  workers.leave();
}

TEST(LockedCommons, CountTheSameForManyThreads) {
  constexpr int kThreads = 4, kTimes = 20'000;
  OsRng rng;
  LockedCommons commons({1'000'000, 10, 10, 10, 10, {}}, rng);
  node::Commons c = commons.get();
  std::vector<std::thread> threads;
  std::atomic<int> accepted = 0;
  const PublicKey relay{{7}};
  const CallerKey who = caller_key(IpAddress::v4(1));
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTimes; i++) {
        c.callers.strangers->try_add(who, 1'000'000);
        const uint64_t number = c.numbers->next(relay, Wall(1s));
        accepted += c.numbers->accept(relay, number, Wall(1s));
        EXPECT_FALSE(c.numbers->accept(relay, number, Wall(1s)));
        PublicKey key{{static_cast<uint8_t>(i), static_cast<uint8_t>(i >> 8)}};
        c.callers.callers->claim(key, ShardId{static_cast<uint8_t>(t)});
        c.callers.callers->release(key, ShardId{static_cast<uint8_t>(t)});
        static_cast<void>(c.callers.early->prekeys({Mono(1s), Wall(1s)}));
        static_cast<void>(c.bank->draw(Mono(1s), {.shard = ShardId{static_cast<uint8_t>(t)}, .needed = 1}));
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(c.callers.strangers->all(), static_cast<size_t>(kThreads * kTimes));
  EXPECT_GT(accepted, kThreads * kTimes / 2);
  EXPECT_EQ(c.callers.callers->size(), 0u);
}

}  // namespace
}  // namespace macrovpn::shell
