#include "sim/world/outlets.h"

#include <gtest/gtest.h>

#include "core/routing/address_rewrite.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::sim {
namespace {

using Entry = Outlets::Entry;
const IpAddress kSite4 = *IpAddress::parse("198.18.0.1"), kSite6 = *IpAddress::parse("3fff:fff::c612:1"), kExitAddress = *IpAddress::parse("10.1.0.1");
constexpr HostId kExit{3}, kAnother{4};

struct Outlet : ::testing::Test {
  Packet udp(const IpAddress& from, const IpAddress& to, size_t bytes) {
    Packet p = pool.take();
    const MutBytes b = routing::start_ip(from, to, routing::IpProtocol::udp, 8 + bytes, p);
    store_be16(&b[0], 5000), store_be16(&b[2], 7000), store_be16(&b[4], static_cast<uint16_t>(8 + bytes));
    routing::finish_ip(p);
    return p;
  }
  // The Internet address by which the packets of a lease leave.
  IpAddress address_of(HostId exit, uint32_t lease, IpFamily f = IpFamily::v4) {
    Packet p = udp(routing::private_address({lease}, f), f == IpFamily::v4 ? kSite4 : kSite6, 10);
    EXPECT_TRUE(outlets.leave(exit, p.bytes()));
    return routing::parse_ip(p.bytes())->source;
  }
  Entry enter(const IpAddress& address, size_t bytes = 100) {
    Packet p = udp(address.is_v4() ? kSite4 : kSite6, address, bytes);
    const Entry e = outlets.enter(p.bytes(), kExitAddress, answer);
    if (e == Entry::taken) entered = routing::parse_ip(p.bytes())->destination;
    return e;
  }
  PacketPool pool;
  Outlets outlets;
  Packet answer = pool.take();
  IpAddress entered;
};

TEST_F(Outlet, LeadsBackToItsLease) {
  for (const IpFamily f : {IpFamily::v4, IpFamily::v6}) {
    const IpAddress first = address_of(kExit, 1, f), second = address_of(kExit, 2, f), other = address_of(kAnother, 1, f);
    EXPECT_EQ(address_of(kExit, 1, f), first);
    EXPECT_NE(first, second);
    EXPECT_NE(first, other);
    EXPECT_EQ(outlets.exit_of(second), kExit);
    EXPECT_EQ(outlets.exit_of(other), kAnother);
    EXPECT_EQ(enter(second), Entry::taken);
    EXPECT_EQ(entered, routing::private_address({2}, f));
  }
  EXPECT_FALSE(outlets.exit_of(kSite4));
  EXPECT_FALSE(outlets.exit_of(kSite6));
}

TEST_F(Outlet, KeepsChecksumsRight) {
  for (const IpFamily f : {IpFamily::v4, IpFamily::v6}) {
    Packet p = udp(routing::private_address({9}, f), f == IpFamily::v4 ? kSite4 : kSite6, 33);
    ASSERT_TRUE(outlets.leave(kExit, p.bytes()));
    const auto ip = routing::parse_ip(p.bytes());  // judges the header's
    ASSERT_TRUE(ip.ok());
    const Bytes transport = p.bytes().subspan(ip->payload_at);
    EXPECT_EQ(routing::internet_checksum(transport, routing::pseudo_header_sum(ip->source, ip->destination, ip->protocol, transport.size())), 0);
  }
}

TEST_F(Outlet, EndsWithItsLeaseAlsoIfTheNumberIsAnothers) {
  const IpAddress before = address_of(kExit, 1);
  outlets.forget(kExit, {1});
  EXPECT_EQ(enter(before), Entry::over);
  const IpAddress after = address_of(kExit, 1);
  EXPECT_NE(after, before);
  EXPECT_EQ(enter(before), Entry::over);
  EXPECT_EQ(enter(after), Entry::taken);
}

TEST_F(Outlet, EndsWithItsExitsProcess) {
  const IpAddress first = address_of(kExit, 1), second = address_of(kExit, 700), other = address_of(kAnother, 1);
  outlets.forget_all(kExit);
  EXPECT_EQ(enter(first), Entry::over);
  EXPECT_EQ(enter(second), Entry::over);
  EXPECT_EQ(enter(other), Entry::taken);
}

TEST_F(Outlet, AnswersWhatIsTooBigForTheLease) {
  const IpAddress address = address_of(kExit, 1);
  outlets.set_mtu(kExit, {1}, 1200);
  EXPECT_EQ(enter(address, 1172), Entry::taken);
  EXPECT_EQ(enter(address, 1173), Entry::too_big);
  const auto ip = routing::parse_ip(answer.bytes());
  EXPECT_EQ(ip->destination, kSite4);
  EXPECT_EQ(ip->icmp_type, 3);
  EXPECT_EQ(ip->icmp_code, 4);
  EXPECT_EQ(load_be16(&answer.bytes()[ip->payload_at + 6u]), 1200);
}

TEST_F(Outlet, RefusesWhatIsNoLeases) {
  Packet p = udp(*IpAddress::parse("10.10.0.2"), kSite4, 10);
  EXPECT_FALSE(outlets.leave(kExit, p.bytes()));
}

}  // namespace
}  // namespace macrovpn::sim
