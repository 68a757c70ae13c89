#include "shell/driver/udp_socket.h"

#include <gtest/gtest.h>
#include <poll.h>

namespace macrovpn::shell {
namespace {

constexpr int kMark = 0xbb;  // expedited forwarding, congestion experienced

// The TOS byte of the next datagram.
int next_tos(int fd) {
  pollfd p{fd, POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 5000), 1);
  char data[64], control[256];
  iovec io{data, sizeof data};
  msghdr m{};
  m.msg_iov = &io;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  EXPECT_GE(recvmsg(fd, &m, 0), 0);
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) return *CMSG_DATA(c);
  }
  return -1;
}

// What a link wrote into the outer header (ECN, DSCP) is not on what we send next, not even to the same place.
TEST(UdpSocket, SendsNoMarksThatItReceived) {
  auto ours = UdpSocket::open({*IpAddress::parse("127.0.0.1"), 0});
  ASSERT_TRUE(ours.ok());
  const Fd far(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(ours->port());
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(connect(far.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
  ASSERT_EQ(setsockopt(far.get(), IPPROTO_IP, IP_TOS, &kMark, sizeof kMark), 0);
  const int on = 1;
  ASSERT_EQ(setsockopt(far.get(), IPPROTO_IP, IP_RECVTOS, &on, sizeof on), 0);
  ASSERT_EQ(send(far.get(), "hello", 5, 0), 5);
  pollfd p{ours->fd(), POLLIN, 0};
  ASSERT_EQ(poll(&p, 1, 5000), 1);
  PacketPool pool;
  std::vector<node::Datagram> got;
  ASSERT_EQ(ours->receive(kListenSocket, pool, got), 1u);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(ours->send(got), 1u);  // back, as a relay would send it on
  EXPECT_EQ(next_tos(far.get()), 0);
}

}  // namespace
}  // namespace macrovpn::shell
