// A device with several workers.  This thread drives all of them by turns, but in the last tests, where they have threads.
#include <gtest/gtest.h>

#include <algorithm>

#include "shell/wireguard/device_world_test.h"

namespace macrovpn::shell {
namespace {

constexpr const char* kHub = "10.0.0.9";
constexpr const char* kFirst = "10.0.0.1";
constexpr const char* kSecond = "10.0.0.2";

std::string some_peer(uint8_t n) {
  PublicKey key{};
  key.bytes.fill(n);
  return "public_key=" + to_hex(key.bytes) + "\n";
}

struct DeviceWorkers : testing::Test {
  TestDevice hub{2};
  TestDevice first, second;  // peers of the hub's worker 0 and of its worker 1

  // Whether the hub knows where they are, so that it can call.
  enum class Knows : uint8_t { nothing, endpoints };
  void join(Knows knows = Knows::endpoints) {
    for (TestDevice* d : {&hub, &first, &second}) d->up();
    for (const auto& [d, address] : {std::pair(&first, kFirst), std::pair(&second, kSecond)}) {
      const std::string endpoint = knows == Knows::endpoints ? "endpoint=127.0.0.1:" + d->port() + "\n" : "";
      ASSERT_EQ(hub.set(d->name() + "allowed_ip=" + address + "/32\n" + endpoint), 0);
      ASSERT_EQ(d->set(hub.name() + "allowed_ip=10.0.0.0/24\nendpoint=127.0.0.1:" + hub.port() + "\n"), 0);
    }
    ASSERT_EQ(hub.count("worker_0_peers"), 1u);
    ASSERT_EQ(hub.count("worker_1_peers"), 1u);
  }
  void run() {
    for (int i = 0; i < 30; i++) {
      hub.run();
      first.reactor.run_once(1ms);
      second.reactor.run_once(Duration::zero());
    }
  }
  void connect() {
    join();
    hub.put(packet(kHub, kFirst));
    hub.put(packet(kHub, kSecond));
    run();
    ASSERT_EQ(first.take(), packet(kHub, kFirst));
    ASSERT_EQ(second.take(), packet(kHub, kSecond));
  }
  // The numbers of the packets that came there.
  static std::vector<uint32_t> arrived(TestDevice& d, size_t queue = 0) {
    std::vector<uint32_t> out;
    for (auto p = d.take(queue); !p.empty(); p = d.take(queue)) out.push_back(number_of(p));
    return out;
  }
  Reactor& worker(size_t i) { return hub.device->reactor_of(i); }
};
using Numbers = std::vector<uint32_t>;

TEST_F(DeviceWorkers, SharePeersByTheirNumberAndShowThemInTheOrderOfAdding) {
  hub.up();
  for (uint8_t n = 9; n > 4; n--) hub.set(some_peer(n));
  EXPECT_EQ(hub.count("worker_0_peers"), 3u);
  EXPECT_EQ(hub.count("worker_1_peers"), 2u);
  const std::string shown = hub.get();
  for (uint8_t n = 9; n > 5; n--) EXPECT_LT(shown.find(some_peer(n)), shown.find(some_peer(n - 1)));
  EXPECT_NE(shown.find(some_peer(5)), std::string::npos);
  for (const uint8_t n : {9, 7}) hub.set(some_peer(n) + "remove=true\n");
  hub.set(some_peer(1));
  EXPECT_EQ(hub.count("worker_0_peers"), 2u);  // where there were fewer
  hub.set("replace_peers=true\n");
  EXPECT_EQ(hub.count("worker_0_peers") + hub.count("worker_1_peers"), 0u);
  EXPECT_EQ(hub.get().find("public_key"), std::string::npos);
}

TEST_F(DeviceWorkers, TakeAsManyPeersTogetherAsOneAlone) {
  std::string all;
  for (size_t i = 0; i <= WireGuardDevice::kMostPeers; i++) {
    PublicKey key{};
    store_le32(&key.bytes[4], static_cast<uint32_t>(i));
    all += "public_key=" + to_hex(key.bytes) + "\n";
  }
  EXPECT_EQ(hub.set(all), ENOSPC);
  EXPECT_EQ(hub.count("worker_0_peers") + hub.count("worker_1_peers"), WireGuardDevice::kMostPeers);
}

TEST_F(DeviceWorkers, APacketOfAnyQueueReachesItsPeerAndAnAnswerComesOutAtItsOwners) {
  connect();
  hub.put(packet(kHub, kFirst, 1), 1);
  hub.put(packet(kHub, kSecond, 2), 1);
  run();
  EXPECT_EQ(arrived(first), Numbers{1});
  EXPECT_EQ(arrived(second), Numbers{2});
  EXPECT_EQ(hub.count("worker_0_crossed"), 1u);  // of connect()
  EXPECT_EQ(hub.count("worker_1_crossed"), 1u);
  first.put(packet(kFirst, kHub, 3));
  second.put(packet(kSecond, kHub, 4));
  run();
  EXPECT_EQ(arrived(hub, 0), Numbers{3});
  EXPECT_EQ(arrived(hub, 1), Numbers{4});
  EXPECT_EQ(hub.count("worker_0_received_transport"), hub.count("worker_1_received_transport"));
}

TEST_F(DeviceWorkers, AnInitiationIsHandedToItsOwner) {
  join(Knows::nothing);
  first.put(packet(kFirst, kHub, 1));
  second.put(packet(kSecond, kHub, 2));
  run();
  EXPECT_EQ(arrived(hub, 0), Numbers{1});
  EXPECT_EQ(arrived(hub, 1), Numbers{2});
  EXPECT_EQ(hub.count("worker_0_strays"), 1u);
  EXPECT_EQ(hub.count("received_initiation"), 2u);
  EXPECT_TRUE(hub.says("endpoint=127.0.0.1:" + second.port()));
  hub.put(packet(kHub, kSecond, 3));
  run();
  EXPECT_EQ(arrived(second), Numbers{3});
}

TEST_F(DeviceWorkers, WhatWasHandedOverGoesBeforeWhatCameToTheOwnQueue) {
  connect();
  hub.put(packet(kHub, kSecond, 1), 0);
  hub.put(packet(kHub, kSecond, 2), 1);  // the flow has moved to its owner's queue, where it is heard of first
  worker(0).run_once(Duration::zero());
  worker(1).run_once(Duration::zero());
  run();
  EXPECT_EQ(arrived(second), (Numbers{1, 2}));
}

TEST_F(DeviceWorkers, APacketOnItsWayToARemovedPeerIsDropped) {
  connect();
  hub.put(packet(kHub, kSecond, 1), 0);
  worker(0).run_once(Duration::zero());
  hub.set(second.name() + "remove=true\n");
  run();
  EXPECT_TRUE(arrived(second).empty());
  EXPECT_EQ(hub.count("no_peer"), 1u);
  second.put(packet(kSecond, kHub, 2));
  run();
  EXPECT_TRUE(arrived(hub, 1).empty());
  EXPECT_EQ(hub.count("dropped_unknown_index"), 1u);
}

TEST_F(DeviceWorkers, AnAddressThatMovesToAPeerOfAnotherWorkerIsThatOnesAtOnce) {
  connect();
  hub.put(packet(kHub, kSecond, 1), 0);
  worker(0).run_once(Duration::zero());
  hub.set(first.name() + "allowed_ip=" + kSecond + "/32\n");
  run();
  EXPECT_TRUE(arrived(first).empty() && arrived(second).empty());  // handed over once and no further
  hub.put(packet(kHub, kSecond, 2), 1);
  second.put(packet(kSecond, kHub, 3));
  first.put(packet(kSecond, kHub, 4));
  run();
  EXPECT_EQ(arrived(first), Numbers{2});
  EXPECT_EQ(arrived(hub, 0), Numbers{4});
  EXPECT_TRUE(arrived(hub, 1).empty());
  EXPECT_EQ(hub.count("dropped_not_allowed_ip"), 1u);
}

TEST_F(DeviceWorkers, NothingOfARemovedPeerStaysWithTheOthers) {
  connect();
  hub.set(second.name() + "allowed_ip=10.7.1.0/24\n");
  hub.set(first.name() + "allowed_ip=10.7.0.0/16\n");
  first.put(packet("10.7.1.1", kHub, 1));
  run();
  EXPECT_TRUE(arrived(hub, 0).empty());  // that is the second's
  hub.set(second.name() + "remove=true\n");
  first.put(packet("10.7.1.1", kHub, 2));
  second.put(packet(kSecond, kHub, 3));
  run();
  EXPECT_EQ(arrived(hub, 0), Numbers{2});
  const std::string afresh = "replace_peers=true\n" + hub.name() + "allowed_ip=10.0.0.0/24\nendpoint=127.0.0.1:" + hub.port() + "\n";
  second.set(afresh);
  second.put(packet(kSecond, kHub, 3));
  run();
  EXPECT_EQ(hub.count("dropped_unknown_peer"), 1u);
  EXPECT_EQ(hub.count("worker_0_strays"), 0u);  // it is nobody's
  hub.set(second.name());  // the same key again: a new peer, of the worker that has fewer
  second.set(afresh);
  hub.set(second.name() + "allowed_ip=" + kSecond + "/32\n");
  second.put(packet(kSecond, kHub, 4));
  run();
  EXPECT_EQ(arrived(hub, 1), Numbers{4});
}

TEST_F(DeviceWorkers, AShortMessageAtTheEndOfAnothersTrainFindsItsWorker) {
  connect();
  // The kernel steers a train by its first datagram.
  PacketPool pool;
  auto from = UdpSocket::open({*IpAddress::parse("127.0.0.1"), 0});
  ASSERT_TRUE(from.ok());
  std::vector<node::Datagram> train;
  const Endpoint to = *Endpoint::parse("127.0.0.1:" + hub.port());
  std::vector<uint8_t> data(160), initiation(148);
  data[0] = 4;
  store_le32(&data[4], 1u << 28);
  initiation[0] = 1;
  train.push_back({kListenSocket, to, pool.copy_of(data), {}});
  train.push_back({kListenSocket, to, pool.copy_of(initiation), {}});
  ASSERT_EQ(from->send(train), 2u);
  run();
  EXPECT_EQ(hub.count("dropped_bad_mac1"), 1u);
  EXPECT_EQ(hub.count("received_initiation"), 1u);
  EXPECT_EQ(hub.count("worker_1_strays"), from->offloads().trains_out ? 1u : 0u);
}

TEST_F(DeviceWorkers, AnotherPortAndAnotherKeyAreEveryWorkers) {
  connect();
  hub.set("listen_port=0\n");
  hub.put(packet(kHub, kFirst, 1), 0);
  hub.put(packet(kHub, kSecond, 2), 1);
  run();
  EXPECT_EQ(arrived(first), Numbers{1});
  EXPECT_EQ(arrived(second), Numbers{2});
  first.put(packet(kFirst, kHub, 3));
  second.put(packet(kSecond, kHub, 4));
  run();
  EXPECT_EQ(arrived(hub, 0), Numbers{3});
  EXPECT_EQ(arrived(hub, 1), Numbers{4});
  OsRng rng;
  hub.keys = crypto::x25519_generate(rng);
  const std::string secret = "private_key=" + to_hex(hub.keys.secret.reveal()) + "\n";
  hub.set(secret);
  for (TestDevice* d : {&first, &second})
    d->set(hub.name() + "allowed_ip=10.0.0.0/24\nendpoint=127.0.0.1:" + hub.port() + "\n");
  hub.put(packet(kHub, kFirst, 5), 0);
  hub.put(packet(kHub, kSecond, 6), 1);
  run();
  EXPECT_EQ(arrived(first), Numbers{5});
  EXPECT_EQ(arrived(second), Numbers{6});
  hub.set("private_key=" + to_hex(second.keys.secret.reveal()) + "\n");  // we are that peer
  EXPECT_EQ(hub.count("worker_1_peers"), 0u);
}

TEST_F(DeviceWorkers, ThatAreDownHaveNoPortAndNoSession) {
  connect();
  const std::string port = hub.port();
  hub.device->set_link({false, 1420});
  TestDevice other(2);
  other.up();
  EXPECT_EQ(other.set("listen_port=" + port + "\n"), 0);  // it is free
  EXPECT_EQ(hub.port(), port);
  hub.device->set_link({true, 1420});  // and now it is not
  EXPECT_EQ(hub.set("listen_port=0\n"), 0);
  hub.put(packet(kHub, kFirst, 1), 1);
  hub.put(packet(kHub, kSecond, 2), 0);
  run();
  EXPECT_EQ(hub.count("sent_initiation"), 4u);  // both are called again
}

// ---- with threads

struct DeviceThreads : testing::Test {
  TestDevice hub{3};
  std::array<TestDevice, 3> spokes;
  std::array<Numbers, 3> got;

  static std::string address(size_t i) { return "10.0.0." + std::to_string(i + 1); }
  void SetUp() override {
    hub.device->start();
    hub.up();
    for (size_t i = 0; i < spokes.size(); i++) {
      spokes[i].up();
      ASSERT_EQ(hub.set(spokes[i].name() + "allowed_ip=" + address(i) + "/32\nendpoint=127.0.0.1:" + spokes[i].port() + "\n"), 0);
      ASSERT_EQ(spokes[i].set(hub.name() + "allowed_ip=10.0.0.0/24\nendpoint=127.0.0.1:" + hub.port() + "\n"), 0);
    }
  }
  void round() {
    hub.reactor.run_once(Duration::zero());
    for (size_t i = 0; i < spokes.size(); i++) {
      spokes[i].reactor.run_once(Duration::zero());
      for (auto p = spokes[i].take(); !p.empty(); p = spokes[i].take()) got[i].push_back(number_of(p));
    }
  }
  // Until that packet has come; false: it does not.
  bool comes(size_t spoke, uint32_t number) {
    const Mono end = read_clocks().mono + 10s;
    while (read_clocks().mono < end) {
      round();
      if (!got[spoke].empty() && got[spoke].back() == number) return true;
    }
    return false;
  }
};

TEST_F(DeviceThreads, KeepTheOrderOfEachFlowWhateverIsSetMeanwhile) {
  uint32_t number = 0;
  for (size_t i = 0; i < spokes.size(); i++) {
    hub.put(packet(kHub, address(i).c_str(), number), 0);
    ASSERT_TRUE(comes(i, number)) << i;
  }
  // Each flow at a queue that is not its owner's.
  for (int n = 0; n < 300; n++) {
    number++;
    for (size_t i = 0; i < spokes.size(); i++) {
      const auto p = packet(kHub, address(i).c_str(), number);
      if (send(hub.near[(i + 1) % 3].get(), p.data(), p.size(), 0) < 0) break;  // full: this thread is ahead of the others
    }
    if (n % 7 == 0) hub.set(some_peer(5) + "allowed_ip=10.5.0.0/16\n");
    if (n % 7 == 3) hub.set(some_peer(5) + "remove=true\n");
    if (n % 11 == 0) hub.set(spokes[1].name() + "allowed_ip=10.6.0.0/16\n");
    if (n % 13 == 0) hub.count("no_peer");
    if (n % 50 == 0) hub.set("listen_port=0\n");
    round();
  }
  for (size_t i = 0; i < spokes.size(); i++) {
    number++;
    hub.put(packet(kHub, address(i).c_str(), number), (i + 1) % 3);
    ASSERT_TRUE(comes(i, number)) << i;
    EXPECT_TRUE(std::is_sorted(got[i].begin(), got[i].end()));
    EXPECT_EQ(std::adjacent_find(got[i].begin(), got[i].end()), got[i].end());
    EXPECT_GT(got[i].size(), 50u);
  }
}

TEST_F(DeviceThreads, EndWhileTheyWork) {
  for (uint32_t n = 0; n < 50; n++) hub.put(packet(kHub, address(n % 3).c_str(), n), (n + 1) % 3);
  round();
}  // the destructors wait for the threads

}  // namespace
}  // namespace macrovpn::shell
