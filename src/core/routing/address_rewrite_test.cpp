#include "core/routing/address_rewrite.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::routing {
namespace {

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

const IpProtocol kProtocols4[] = {IpProtocol::tcp, IpProtocol::udp, IpProtocol::icmp};
const IpProtocol kProtocols6[] = {IpProtocol::tcp, IpProtocol::udp, IpProtocol::icmpv6};

Packet random_packet(PacketPool& pool, Rng& rng, const IpAddress& from, const IpAddress& to) {
  const IpProtocol protocol = (from.is_v4() ? kProtocols4 : kProtocols6)[rng.below(3)];
  const size_t least = protocol == IpProtocol::tcp ? 20 : 8;
  Packet p = pool.take();
  const MutBytes t = start_ip(from, to, protocol, least + rng.below(60), p);
  rng.fill(t);
  if (protocol == IpProtocol::tcp) t[12] = 5 << 4;
  if (protocol == IpProtocol::udp) store_be16(&t[4], static_cast<uint16_t>(t.size()));
  if (protocol == IpProtocol::icmp) t[0] = 8, t[1] = 0;
  if (protocol == IpProtocol::icmpv6) t[0] = 128, t[1] = 0;
  finish_ip(p);
  return p;
}

// The naive twin: writes the address and computes every checksum anew.
std::vector<uint8_t> rebuilt(Bytes packet, size_t at, const IpAddress& value) {
  PacketPool pool;
  Packet p = pool.copy_of(packet);
  std::copy(value.bytes().begin(), value.bytes().end(), p.data() + at);
  if (value.is_v4()) seal_ipv4_header(p.bytes());
  finish_ip(p);
  return {p.data(), p.data() + p.size()};
}

TEST(AddressRewrite, EqualsAFullRecomputation) {
  PacketPool pool;
  SeededRng rng(11);
  for (int i = 0; i < 5000; i++) {
    const bool v4 = rng.below(2) != 0;
    const IpFamily family = v4 ? IpFamily::v4 : IpFamily::v6;
    const LeaseNumber lease{static_cast<uint32_t>(1 + rng.below(kMaxLeaseNumber))};
    const IpAddress remote = v4 ? IpAddress::v4(rng.u32()) : IpAddress::v6(rng.bytes<16>());
    const IpAddress inside = InsideAddresses::get().client(family), priv = private_address(lease, family);
    Packet out = random_packet(pool, rng, inside, remote);
    const auto want_out = rebuilt(out.bytes(), v4 ? 12 : 8, priv);
    ASSERT_TRUE(rewrite_to_private(out.bytes(), lease));
    ASSERT_TRUE(equal(out.bytes(), want_out));
    Packet back = random_packet(pool, rng, remote, priv);
    const auto want_back = rebuilt(back.bytes(), v4 ? 16 : 24, inside);
    const auto who = rewrite_from_private(back.bytes());
    ASSERT_TRUE(who);
    EXPECT_EQ(*who, lease);
    ASSERT_TRUE(equal(back.bytes(), want_back));
  }
}

TEST(AddressRewrite, RewritesTheQuotationInAnIcmpError) {
  PacketPool pool;
  SeededRng rng(12);
  for (int i = 0; i < 3000; i++) {
    const bool v4 = rng.below(2) != 0;
    const IpFamily family = v4 ? IpFamily::v4 : IpFamily::v6;
    const LeaseNumber lease{static_cast<uint32_t>(1 + rng.below(kMaxLeaseNumber))};
    const IpAddress remote = v4 ? IpAddress::v4(rng.u32() & 0x7fffffff) : ip("2001:db8::9");
    const Packet sent = random_packet(pool, rng, InsideAddresses::get().client(family), remote);
    Packet behind = pool.copy_of(sent.bytes());
    ASSERT_TRUE(rewrite_to_private(behind.bytes(), lease));
    Packet error = pool.take(), want = pool.take();
    ASSERT_TRUE(
        make_unreachable(behind.bytes(), *parse_ip(behind.bytes()), Unreachable::host, remote, error));
    ASSERT_TRUE(make_unreachable(sent.bytes(), *parse_ip(sent.bytes()), Unreachable::host, remote, want));
    const auto who = rewrite_from_private(error.bytes());
    ASSERT_TRUE(who);
    EXPECT_EQ(*who, lease);
    // Equal but for zero and minus zero of the checksums that sum to nothing, which the twin shows as right
    // too.
    const auto h = parse_ip(error.bytes());
    ASSERT_TRUE(h);
    EXPECT_EQ(h->destination, InsideAddresses::get().client(family));
    const Bytes t = error.bytes().subspan(h->payload_at);
    EXPECT_EQ(
        internet_checksum(t, v4 ? 0 : pseudo_header_sum(h->source, h->destination, h->protocol, t.size())),
        0);
    ASSERT_TRUE(equal(t.subspan(8), want.bytes().subspan(h->payload_at + 8)));
  }
}

TEST(AddressRewrite, RefusesAnotherSource) {
  PacketPool pool;
  SeededRng rng(1);
  for (const char* from : {"10.10.0.3", "8.8.8.8", "100.64.0.1"}) {
    Packet p = random_packet(pool, rng, ip(from), ip("1.1.1.1"));
    const auto r = rewrite_to_private(p.bytes(), LeaseNumber{1});
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error(), RewriteDrop::wrong_address);
  }
  Packet p = random_packet(pool, rng, ip("fd86:ea04:1115::3"), ip("2606:4700::1"));
  EXPECT_FALSE(rewrite_to_private(p.bytes(), LeaseNumber{1}));
  Packet reply = random_packet(pool, rng, ip("1.1.1.1"), ip("100.64.0.0"));
  EXPECT_FALSE(rewrite_from_private(reply.bytes()));
}

TEST(AddressRewrite, RefusesAnErrorAboutSomebodyElsesPacket) {
  PacketPool pool;
  SeededRng rng(1);
  const Packet other = random_packet(pool, rng, private_address(LeaseNumber{2}, IpFamily::v4), ip("1.1.1.1"));
  Packet error = pool.take();
  ASSERT_TRUE(
      make_unreachable(other.bytes(), *parse_ip(other.bytes()), Unreachable::host, ip("1.1.1.1"), error));
  const IpAddress one = private_address(LeaseNumber{1}, IpFamily::v4);
  std::copy(one.bytes().begin(), one.bytes().end(), error.data() + 16);
  seal_ipv4_header(error.bytes());
  const auto r = rewrite_from_private(error.bytes());
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error(), RewriteDrop::wrong_address);
}

TEST(AddressRewrite, LeavesAUdpPacketWithoutChecksumWithoutOne) {
  PacketPool pool;
  Packet p = pool.take();
  const MutBytes t = start_ip(ip("10.10.0.2"), ip("1.1.1.1"), IpProtocol::udp, 8, p);
  store_be16(&t[4], 8);
  ASSERT_TRUE(rewrite_to_private(p.bytes(), LeaseNumber{7}));
  EXPECT_EQ(load_be16(p.data() + 26), 0);
}

TEST(PrivateAddress, IsOneToOneUpToTheLastNumber) {
  for (const uint32_t n : {1u, 2u, 255u, 256u, 65536u, kMaxLeaseNumber})
    for (const IpFamily f : {IpFamily::v4, IpFamily::v6}) {
      EXPECT_EQ(lease_of_private(private_address(LeaseNumber{n}, f)), LeaseNumber{n});
      EXPECT_TRUE(private_network(f).contains(private_address(LeaseNumber{n}, f)));
    }
  EXPECT_EQ(private_address(LeaseNumber{kMaxLeaseNumber}, IpFamily::v4), ip("100.127.255.254"));
  for (const char* a : {"100.127.255.255", "100.128.0.0", "100.63.255.255", "100.64.0.0", "10.10.0.2",
                        "fd86:ea04:1115::2", "fd86:ea04:1115:ffff::", "fd86:ea04:1115:ffff::40:0"})
    EXPECT_EQ(lease_of_private(ip(a)), LeaseNumber{0}) << a;
}

}  // namespace
}  // namespace macrovpn::routing
