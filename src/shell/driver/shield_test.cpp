#include "shell/driver/shield.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>

namespace macrovpn::shell {
namespace {

constexpr int kFlood = 20'000;  // more than any queue holds

struct ShieldTest : testing::Test {
  Reactor reactor;
  PacketPool pool;
  std::vector<node::Datagram> shielded, plain;
  UdpSocket listening = open(), friendly = open(), stranger = open();
  Shield shield{reactor, [this](UdpSocket& s) { s.receive(kListenSocket, pool, shielded); }};

  static UdpSocket open() {
    auto s = UdpSocket::open({*IpAddress::parse("127.0.0.1"), 0});
    MV_ASSERT(s.ok());
    return std::move(s).value();
  }
  Endpoint address_of(const UdpSocket& s) const { return {*IpAddress::parse("127.0.0.1"), s.port()}; }
  void send(UdpSocket& from, uint8_t what) {
    Packet p = pool.copy_of(ByteArray<600>{what});
    node::Datagram d{kListenSocket, address_of(listening), std::move(p)};
    from.send(std::span(&d, 1));
  }
  void protect() {
    const Endpoint e = address_of(friendly);
    shield.protect(listening, std::span(&e, 1));
  }
  void read() {
    reactor.run_once(Duration::zero());
    while (listening.receive(kListenSocket, pool, plain) > 0) {
    }
  }
};

TEST_F(ShieldTest, KeepsOneCallersDatagramsApart) {
  protect();
  ASSERT_EQ(shield.size(), 1u);
  send(friendly, 1);
  send(stranger, 2);
  read();
  ASSERT_EQ(shielded.size(), 1u);
  EXPECT_EQ(shielded[0].packet.data()[0], 1);
  EXPECT_EQ(shielded[0].remote, address_of(friendly));
  ASSERT_EQ(plain.size(), 1u);
  EXPECT_EQ(plain[0].packet.data()[0], 2);
}

TEST_F(ShieldTest, LosesNothingOfAShieldedCallerInAFlood) {
  protect();
  for (int i = 0; i < kFlood; i++) {
    send(stranger, 2);
    if (i % 1000 == 0) send(friendly, 1);
  }
  read();
  EXPECT_LT(plain.size(), static_cast<size_t>(kFlood));  // there was a flood
  EXPECT_EQ(shielded.size(), static_cast<size_t>(kFlood / 1000));
}

TEST_F(ShieldTest, WhatWaitsIsReadWhenAShieldGoes) {
  protect();
  send(friendly, 1);
  shield.protect(listening, {});
  EXPECT_EQ(shielded.size(), 1u);
  EXPECT_EQ(shield.size(), 0u);
  send(friendly, 3);
  read();
  ASSERT_EQ(plain.size(), 1u);
  EXPECT_EQ(plain[0].packet.data()[0], 3);
}

TEST_F(ShieldTest, NobodyElseCanBindThePort) {
  for (int i = 0; i < 2; i++) {
    const Fd other(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const int one = 1;
    ASSERT_EQ(setsockopt(other.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(listening.port());
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_NE(bind(other.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
    EXPECT_EQ(errno, EADDRINUSE);
    protect();
  }
}

TEST_F(ShieldTest, IsBounded) {
  std::vector<Endpoint> many;
  for (uint16_t i = 0; i < Shield::kMost + 10; i++)
    many.push_back({*IpAddress::parse("127.0.0.1"), static_cast<uint16_t>(2000 + i)});
  shield.protect(listening, many);
  EXPECT_EQ(shield.size(), Shield::kMost);
}

}  // namespace
}  // namespace macrovpn::shell
