#include "shell/driver/udp_socket.h"

#include <gtest/gtest.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {
bool refuse_trains = false;

bool is_train(const msghdr& m) {
  const cmsghdr* c = CMSG_FIRSTHDR(&m);
  return c != nullptr && c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT;
}
}  // namespace

// Stands before the C library's.
extern "C" int sendmmsg(int fd, mmsghdr* messages, unsigned n, int flags) {
  if (refuse_trains && is_train(messages[0].msg_hdr)) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(syscall(SYS_sendmmsg, fd, messages, n, flags));
}

namespace macrovpn::shell {
namespace {

Endpoint at(const char* address, uint16_t port) {
  return {*IpAddress::parse(address), port};
}

struct Sockets : testing::Test {
  PacketPool pool;
  std::vector<node::Datagram> got;

  static UdpSocket open(const Endpoint& e) {
    auto s = UdpSocket::open(e);
    MV_ASSERT(s.ok());
    return std::move(s).value();
  }
  node::Datagram datagram(const Endpoint& to, size_t size, uint8_t fill) {
    return {kListenSocket, to, pool.copy_of(std::vector<uint8_t>(size, fill)), {}};
  }
  // Until `n` came, or nothing more does.
  void receive(UdpSocket& s, size_t n) {
    pollfd p{s.fd(), POLLIN, 0};
    while (got.size() < n && poll(&p, 1, 2000) > 0) s.receive(kListenSocket, pool, got);
  }
};

struct OverEither : Sockets, testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(UdpSocket, OverEither, testing::Values("127.0.0.1", "::1"));

TEST_P(OverEither, WhatIsSentInTrainsArrivesAsItWasInOrder) {
  UdpSocket from = open(at(GetParam(), 0)), to = open(at(GetParam(), 0)), other = open(at(GetParam(), 0));
  const Endpoint there = at(GetParam(), to.port()), elsewhere = at(GetParam(), other.port());
  // Long and short trains, several sizes, one that goes elsewhere in the middle; twice, as a guess is made the first time.
  for (int round = 0; round < 2; round++) {
    std::vector<node::Datagram> batch;
    std::vector<size_t> sizes;
    for (size_t i = 0; i < 200; i++) sizes.push_back(i < 100 ? 1408 : i < 110 ? 1408 - i : i < 190 ? 96 : 1 + i);
    for (size_t i = 0; i < sizes.size(); i++) {
      batch.push_back(datagram(there, sizes[i], static_cast<uint8_t>(i)));
      if (i == 40) batch.push_back(datagram(elsewhere, 1408, 0xee));
    }
    EXPECT_EQ(from.send(batch), batch.size());
    got.clear();
    receive(to, sizes.size());
    ASSERT_EQ(got.size(), sizes.size());
    for (size_t i = 0; i < got.size(); i++) {
      ASSERT_EQ(got[i].packet.size(), sizes[i]) << i;
      ASSERT_EQ(got[i].packet.data()[0], static_cast<uint8_t>(i));
      ASSERT_EQ(got[i].packet.data()[sizes[i] - 1], static_cast<uint8_t>(i));
      ASSERT_EQ(got[i].remote, at(GetParam(), from.port()));
    }
    got.clear();
    receive(other, 1);
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].packet.data()[0], 0xee);
  }
}

TEST_F(Sockets, AStrangersShortTrainDoesNotHaveUsReadMessageByMessage) {
  UdpSocket to = open(at("127.0.0.1", 0)), stranger = open(at("127.0.0.1", 0)), honest = open(at("127.0.0.1", 0));
  if (!stranger.offloads().trains_out || !to.offloads().trains_in) GTEST_SKIP() << "this kernel knows no trains";
  const Endpoint there = at("127.0.0.1", to.port());
  for (const size_t size : {size_t{64}, size_t{1400}}) {  // the long one shows what is meant
    std::vector<node::Datagram> train, alone;
    for (uint8_t i = 0; i < 8; i++) train.push_back(datagram(there, size, i));
    ASSERT_EQ(stranger.send(train), 8u);
    got.clear();
    receive(to, 8);
    ASSERT_EQ(got.size(), 8u);
    for (uint8_t i = 0; i < 20; i++) alone.push_back(datagram(there, 200u + i, i));  // longer each time: no train
    ASSERT_EQ(honest.send(alone), 20u);
    got.clear();
    to.receive(kListenSocket, pool, got);
    EXPECT_EQ(got.size(), size < 512 ? 20u : 1u);
    receive(to, 20);
    EXPECT_EQ(got.size(), 20u);
  }
}

TEST_F(Sockets, TrainsAreTriedAgainAfterADeviceRefusedOne) {
  UdpSocket from = open(at("127.0.0.1", 0)), to = open(at("127.0.0.1", 0));
  if (!from.offloads().trains_out) GTEST_SKIP() << "this kernel knows no trains";
  std::vector<node::Datagram> batch;
  for (uint8_t i = 0; i < 4; i++) batch.push_back(datagram(at("127.0.0.1", to.port()), 100, i));
  refuse_trains = true;
  EXPECT_EQ(from.send(batch), 4u);  // each alone
  refuse_trains = false;
  EXPECT_FALSE(from.offloads().trains_out);
  receive(to, 4);
  EXPECT_EQ(got.size(), 4u);
  for (unsigned i = 1; i < UdpSocket::kAloneAfterRefusal; i++) from.send({});
  EXPECT_FALSE(from.offloads().trains_out);
  EXPECT_EQ(from.send(batch), 4u);
  EXPECT_TRUE(from.offloads().trains_out);
}

// What a train is on the first link of a circuit, it is on all: 49 datagrams, a superpacket of 64 KiB, are two messages at every
// size that a layer more or less makes of them.
TEST_F(Sockets, ATrainIsAsLongAtEverySizeThatLayersMakeOfIt) {
  UdpSocket from = open(at("127.0.0.1", 0));
  const Fd to(socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof here;
  const int on = 1, buffer = 4 << 20;
  setsockopt(to.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  ASSERT_EQ(bind(to.get(), reinterpret_cast<sockaddr*>(&here), sizeof here), 0);
  ASSERT_EQ(getsockname(to.get(), reinterpret_cast<sockaddr*>(&here), &length), 0);
  if (setsockopt(to.get(), SOL_UDP, UDP_GRO, &on, sizeof on) != 0) GTEST_SKIP() << "this kernel has no UDP_GRO";
  std::vector<uint8_t> message(70'000);
  for (const size_t size : {1376u, 1408u, 1440u, 1472u}) {
    std::vector<node::Datagram> batch;
    for (int i = 0; i < 49; i++) batch.push_back(datagram(at("127.0.0.1", ntohs(here.sin_port)), size, 1));
    EXPECT_EQ(from.send(batch), 49u);
    for (const size_t expected : {44u, 5u}) {
      pollfd p{to.get(), POLLIN, 0};
      ASSERT_EQ(poll(&p, 1, 2000), 1);
      EXPECT_EQ(recv(to.get(), message.data(), message.size(), 0), static_cast<ssize_t>(expected * size));
    }
  }
}

TEST_F(Sockets, ASocketForBothFamiliesKnowsWhichAddressWasCalledAndAnswersFromIt) {
  UdpSocket called = open({IpAddress(), 0}), caller = open(at("127.0.0.1", 0));
  node::Datagram d = datagram(at("127.0.0.2", called.port()), 100, 1);
  ASSERT_EQ(caller.send(std::span(&d, 1)), 1u);
  receive(called, 1);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].local, *IpAddress::parse("127.0.0.2"));
  EXPECT_EQ(got[0].remote, at("127.0.0.1", caller.port()));

  std::vector<node::Datagram> answers;
  for (int i = 0; i < 3; i++) answers.push_back(datagram(got[0].remote, 64, 2));
  for (node::Datagram& a : answers) a.local = got[0].local;
  got.clear();
  EXPECT_EQ(called.send(answers), 3u);
  receive(caller, 3);
  ASSERT_EQ(got.size(), 3u);
  for (const node::Datagram& a : got) EXPECT_EQ(a.remote, at("127.0.0.2", called.port()));
}

TEST_F(Sockets, AnAnswerFromAnAddressThatHasGoneLeavesFromAnother) {
  UdpSocket from = open({IpAddress(), 0}), to = open(at("127.0.0.1", 0));
  std::vector<node::Datagram> batch;
  for (int i = 0; i < 3; i++) batch.push_back(datagram(at("127.0.0.1", to.port()), 64, 1));
  for (node::Datagram& d : batch) d.local = *IpAddress::parse("192.0.2.77");
  EXPECT_EQ(from.send(batch), 3u);
  receive(to, 3);
  EXPECT_EQ(got.size(), 3u);
}

// A link of 1280 bytes, as the kernel is made to see it.
TEST_F(Sockets, WhatOurOwnLinkDoesNotTakeIsToldAndTheRestLeaves) {
  UdpSocket from = open(at("::1", 0)), to = open(at("::1", 0));
  const Endpoint there = at("::1", to.port());
  const int narrow = 1280;
  ASSERT_EQ(setsockopt(from.fd(), IPPROTO_IPV6, IPV6_MTU, &narrow, sizeof narrow), 0);
  for (const size_t together : {1u, 5u}) {  // alone, or in a train
    std::vector<node::Datagram> batch;
    for (size_t i = 0; i < together; i++) batch.push_back(datagram(there, 1400, 1));
    for (size_t i = 0; i < 3; i++) batch.push_back(datagram(there, 1000, 2));
    EXPECT_FALSE(from.take_too_long());
    EXPECT_EQ(from.send(batch), 3u);
    EXPECT_TRUE(from.take_too_long());
    got.clear();
    receive(to, 3);
    ASSERT_EQ(got.size(), 3u);
    for (const node::Datagram& d : got) EXPECT_EQ(d.packet.size(), 1000u);
  }
}

TEST_F(Sockets, WhatIsLongerThanAPacketIsDroppedAndCounted) {
  UdpSocket to = open(at("127.0.0.1", 0));
  const Fd raw(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in there{};
  there.sin_family = AF_INET;
  there.sin_port = htons(to.port());
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto send = [&](size_t size) {
    const std::vector<uint8_t> bytes(size, 7);
    return sendto(raw.get(), bytes.data(), size, 0, reinterpret_cast<sockaddr*>(&there), sizeof there);
  };
  ASSERT_GT(send(9000), 0);
  ASSERT_GT(send(kPacketMax + 1), 0);
  ASSERT_GT(send(kPacketMax), 0);
  receive(to, 1);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].packet.size(), kPacketMax);
  EXPECT_EQ(to.dropped_as_too_long(), 2u);
}

}  // namespace
}  // namespace macrovpn::shell
