// Real sockets on one port: what the kernel gives to whom.
#include "shell/driver/steering.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <set>

#include "shell/driver/udp_socket.h"

namespace macrovpn::shell {
namespace {

struct Steering : testing::TestWithParam<const char*> {
  static constexpr size_t kWorkers = 3;
  PacketPool pool;
  SeededRng rng{7};
  std::vector<UdpSocket> workers;
  const IpAddress address = *IpAddress::parse(GetParam());

  void SetUp() override {
    auto group = UdpSocket::open_group({address, 0}, kWorkers, rng);
    ASSERT_TRUE(group.ok()) << group.error().message;
    workers = std::move(*group);
  }
  Endpoint port() const { return {address, workers[0].port()}; }
  UdpSocket caller() {
    auto s = UdpSocket::open({address, 0});
    MV_ASSERT(s.ok());
    return std::move(*s);
  }
  void send(UdpSocket& from, std::vector<uint8_t> bytes) {
    node::Datagram d{kListenSocket, port(), pool.copy_of(bytes), {}};
    ASSERT_EQ(from.send({&d, 1}), 1u);
  }
  // Who has the one datagram that is on its way.
  size_t receiver() {
    std::vector<pollfd> p;
    for (const UdpSocket& w : workers) p.push_back({w.fd(), POLLIN, 0});
    MV_ASSERT(poll(p.data(), p.size(), 2000) == 1);
    for (size_t i = 0; i < p.size(); i++) {
      if (p[i].revents == 0) continue;
      std::vector<node::Datagram> got;
      MV_ASSERT(workers[i].receive(kListenSocket, pool, got) == 1);
      return i;
    }
    MV_ASSERT(false);
  }
  // A plain message of this type, with the receiver index at `at`.
  static std::vector<uint8_t> plain(uint8_t type, size_t at, uint32_t index) {
    std::vector<uint8_t> m(148);
    m[0] = type;
    store_le32(&m[at], index);
    return m;
  }
};
INSTANTIATE_TEST_SUITE_P(OverEither, Steering, testing::Values("127.0.0.1", "::1"));

TEST_P(Steering, PlainMessagesGoToTheWorkerInTheirReceiverIndex) {
  UdpSocket from = caller();
  for (int round = 0; round < 4; round++) {
    for (uint32_t shard = 0; shard < kWorkers; shard++) {
      const uint32_t index = shard << 28 | (rng.u32() >> 4);
      send(from, plain(4, 4, index));
      EXPECT_EQ(receiver(), shard);
      send(from, plain(3, 4, index));
      EXPECT_EQ(receiver(), shard);
      send(from, plain(2, 8, index));
      EXPECT_EQ(receiver(), shard);
    }
  }
}

TEST_P(Steering, PlainInitiationsGoToTheFirst) {
  for (int i = 0; i < 8; i++) {
    UdpSocket from = caller();
    send(from, plain(1, 4, rng.u32()));
    EXPECT_EQ(receiver(), 0u);
  }
}

TEST_P(Steering, WhatIsMaskedStaysWithOneWorkerForEachNeighbour) {
  std::set<size_t> used;
  for (int i = 0; i < 40; i++) {
    UdpSocket from = caller();
    size_t its = SIZE_MAX;
    for (int n = 0; n < 4; n++) {
      std::vector<uint8_t> masked(64 + rng.below(1000));
      rng.fill(masked);
      masked[0] = 0xaa;
      send(from, masked);
      const size_t to = receiver();
      if (n == 0) its = to;
      EXPECT_EQ(to, its);
    }
    used.insert(its);
  }
  EXPECT_EQ(used.size(), kWorkers);  // and neighbours are spread
}

TEST_P(Steering, AnIndexThatNobodyHasAndShortDatagramsAreHashedLikeTheRest) {
  std::set<size_t> used;
  for (int i = 0; i < 40; i++) {
    UdpSocket from = caller();
    send(from, plain(4, 4, 15u << 28));
    const size_t to = receiver();
    send(from, {4, 0, 0, 0, 0, 0});
    EXPECT_EQ(receiver(), to);
    used.insert(to);
  }
  EXPECT_EQ(used.size(), kWorkers);
}

TEST_P(Steering, IsNotMovedByASocketThatShieldsOneCaller) {
  std::vector<UdpSocket> callers;
  std::vector<size_t> before;
  for (int i = 0; i < 12; i++) {
    callers.push_back(caller());
    send(callers.back(), std::vector<uint8_t>(100, 0xaa));
    before.push_back(receiver());
  }
  auto twin = workers[before[0]].connected_twin({address, callers[0].port()});
  ASSERT_TRUE(twin.ok()) << twin.error().message;
  for (size_t i = 1; i < callers.size(); i++) {
    send(callers[i], std::vector<uint8_t>(100, 0xaa));
    EXPECT_EQ(receiver(), before[i]);
  }
  send(callers[0], std::vector<uint8_t>(100, 0xaa));
  pollfd p{twin->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 2000), 1);
}

TEST_P(Steering, APortThatIsInUseIsRefusedToAGroupToo) {
  UdpSocket other = caller();
  const auto group = UdpSocket::open_group({address, other.port()}, 2, rng);
  ASSERT_FALSE(group.ok());
  EXPECT_NE(group.error().message.find("another program uses it"), std::string::npos);
}

}  // namespace
}  // namespace macrovpn::shell
