#include "core/routing/newest_segments.h"

#include <gtest/gtest.h>

#include "core/routing/ip_reply.h"

namespace macrovpn::routing {
namespace {

constexpr uint16_t kFarPort = 443;

std::vector<uint8_t> segment(bool v4, uint16_t port, uint32_t number, size_t data, IpProtocol protocol = IpProtocol::tcp) {
  PacketPool pool;
  Packet p = pool.take();
  const auto ip = [&](const char* four, const char* six) { return *IpAddress::parse(v4 ? four : six); };
  const MutBytes t = start_ip(ip("10.10.0.2", "fd86:ea04:1115::2"), ip("192.0.2.1", "2001:db8::1"), protocol, 32 + data, p);
  store_be16(&t[0], port);
  store_be16(&t[2], kFarPort);
  store_be32(&t[4], number);
  if (protocol == IpProtocol::udp) store_be16(&t[4], static_cast<uint16_t>(32 + data));
  t[12] = 8 << 4;  // with options
  t[13] = kTcpAck;
  finish_ip(p);
  return {p.bytes().begin(), p.bytes().end()};
}

std::vector<std::vector<uint8_t>> larger_than(const NewestSegments& n, size_t mtu) {
  std::vector<std::vector<uint8_t>> out;
  n.each_larger_than(mtu, [&](Bytes p) { out.emplace_back(p.begin(), p.end()); });
  return out;
}

TEST(NewestSegments, HoldsTheNewestOfEachConnectionAsAPacketThatCanBeQuoted) {
  for (const bool v4 : {true, false}) {
    NewestSegments n;
    n.on_packet(segment(v4, 1000, 1, 1200));
    n.on_packet(segment(v4, 1001, 7, 1300));
    n.on_packet(segment(v4, 1000, 2, 1200));
    n.on_packet(segment(v4, 1000, 3, 100));  // small ones pass
    const auto found = larger_than(n, 1000);
    ASSERT_EQ(found.size(), 2u);
    for (const auto& p : found) {
      const auto h = parse_ip(p);
      ASSERT_TRUE(h.ok());
      EXPECT_EQ(h->size, p.size());
      EXPECT_EQ(load_be32(&p[h->payload_at + 4u]), h->source_port == 1000 ? 2u : 7u);
      PacketPool pool;
      Packet answer = pool.take();
      EXPECT_TRUE(make_too_big(p, *h, 1000, h->destination, answer));
    }
    EXPECT_EQ(larger_than(n, 1320).size(), 1u);
    EXPECT_TRUE(larger_than(n, 1400).empty());
  }
}

TEST(NewestSegments, HoldsOnlySomeAndOnlyTcp) {
  NewestSegments n;
  for (uint16_t port = 1; port <= 100; port++) n.on_packet(segment(true, port, port, 1200));
  EXPECT_EQ(larger_than(n, 600).size(), NewestSegments::kFlows);
  NewestSegments other;
  other.on_packet(segment(true, 1, 1, 1200, IpProtocol::udp));
  auto fragment = segment(true, 1, 1, 1200);
  fragment[6] |= 0x20;
  other.on_packet(fragment);
  EXPECT_TRUE(larger_than(other, 600).empty());
}

}  // namespace
}  // namespace macrovpn::routing
