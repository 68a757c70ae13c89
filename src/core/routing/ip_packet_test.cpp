#include "core/routing/ip_packet.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::routing {
namespace {

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}
const IpAddress kA4 = ip("192.0.2.1"), kB4 = ip("198.51.100.2"), kA6 = ip("2001:db8::1"),
                kB6 = ip("2001:db8:7::2");

Packet udp(PacketPool& pool, const IpAddress& from, const IpAddress& to, std::string_view body) {
  Packet p = pool.take();
  const MutBytes t = start_ip(from, to, IpProtocol::udp, 8 + body.size(), p);
  store_be16(&t[0], 4000);
  store_be16(&t[2], 53);
  store_be16(&t[4], static_cast<uint16_t>(8 + body.size()));
  std::copy(body.begin(), body.end(), t.begin() + 8);
  finish_ip(p);
  return p;
}

Packet syn(PacketPool& pool, const IpAddress& from, const IpAddress& to,
           std::initializer_list<uint8_t> options) {
  Packet p = pool.take();
  const MutBytes t = start_ip(from, to, IpProtocol::tcp, 20 + options.size(), p);
  store_be16(&t[0], 4000);
  store_be16(&t[2], 443);
  store_be32(&t[4], 0xfffffff0);
  t[12] = static_cast<uint8_t>((20 + options.size()) / 4 << 4);
  t[13] = kTcpSyn;
  std::copy(options.begin(), options.end(), t.begin() + 20);
  finish_ip(p);
  return p;
}

// Whether every checksum in a packet without fragments is right, computed from nothing.
bool sums_are_right(Bytes packet) {
  const auto h = parse_ip(packet);
  if (!h) return false;
  const Bytes t = packet.subspan(h->payload_at, h->size - h->payload_at);
  const uint32_t pseudo = covers_pseudo_header(h->protocol)
                              ? pseudo_header_sum(h->source, h->destination, h->protocol, t.size())
                              : 0;
  return internet_checksum(t, pseudo) == 0;
}

TEST(InternetChecksum, MatchesTheExampleOfRfc1071) {
  const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(internet_checksum(data), static_cast<uint16_t>(~0xddf2));
  const uint8_t odd[] = {0x01};
  EXPECT_EQ(internet_checksum(odd), static_cast<uint16_t>(~0x0100));
}

TEST(UpdatedChecksum, EqualsAFreshOneAndTheExampleOfRfc1624) {
  // RFC 1624 §4: 0xdd2f, a word 0x5555 becomes 0x3285: 0x0000.
  const uint8_t before[] = {0x55, 0x55}, after[] = {0x32, 0x85};
  EXPECT_EQ(updated_checksum(0xdd2f, before, after), 0x0000);
  SeededRng rng(7);
  for (int i = 0; i < 2000; i++) {
    auto data = rng.bytes<64>();
    const uint16_t old = internet_checksum(data);
    const auto prior = data;
    for (size_t k = 8; k < 24; k++) data[k] = static_cast<uint8_t>(rng.u32());
    EXPECT_EQ(updated_checksum(old, Bytes(prior).subspan(8, 16), Bytes(data).subspan(8, 16)),
              internet_checksum(data));
  }
}

TEST(ParseIp, ReadsPortsOfBothFamilies) {
  PacketPool pool;
  for (const auto& [a, b] : {std::pair(kA4, kB4), {kA6, kB6}}) {
    const Packet p = udp(pool, a, b, "hello");
    const auto h = parse_ip(p.bytes());
    ASSERT_TRUE(h);
    EXPECT_EQ(h->source, a);
    EXPECT_EQ(h->destination, b);
    EXPECT_EQ(h->protocol, IpProtocol::udp);
    EXPECT_EQ(h->source_port, 4000);
    EXPECT_EQ(h->destination_port, 53);
    EXPECT_EQ(h->size, p.size());
    EXPECT_TRUE(sums_are_right(p.bytes()));
  }
}

TEST(ParseIp, LooksThroughPadding) {
  PacketPool pool;
  Packet p = udp(pool, kA4, kB4, "hello");
  const size_t size = p.size();
  std::fill_n(p.push_back(11), 11, uint8_t{0});
  ASSERT_TRUE(parse_ip(p.bytes()));
  EXPECT_EQ(parse_ip(p.bytes())->size, size);
}

TEST(ParseIp, RefusesEveryTruncation) {
  PacketPool pool;
  for (const auto& [a, b] : {std::pair(kA4, kB4), {kA6, kB6}})
    for (const bool tcp : {false, true}) {
      const Packet p = tcp ? syn(pool, a, b, {}) : udp(pool, a, b, "x");
      for (size_t n = 0; n < p.size(); n++) EXPECT_FALSE(parse_ip(p.bytes().first(n))) << n;
    }
}

IpDrop drop_of(Bytes p) {
  const auto h = parse_ip(p);
  return h ? IpDrop::kCount : h.error();
}

TEST(ParseIp, RefusesWhatOrdinaryHostsDoNotSend) {
  PacketPool pool;
  auto changed = [&](auto change) {
    Packet p = udp(pool, kA4, kB4, "12345678");
    change(p.data());
    if (p.data()[0] == 0x45) seal_ipv4_header(p.bytes());
    return drop_of(p.bytes());
  };
  EXPECT_EQ(changed([](uint8_t*) {}), IpDrop::kCount);
  EXPECT_EQ(changed([](uint8_t* p) { p[0] = 0x46; }), IpDrop::options);
  EXPECT_EQ(changed([](uint8_t* p) { p[0] = 0x44; }), IpDrop::bad_length);
  EXPECT_EQ(changed([](uint8_t* p) { p[0] = 0x55; }), IpDrop::bad_version);
  EXPECT_EQ(changed([](uint8_t* p) { p[25]++; }), IpDrop::bad_length);                 // UDP length
  EXPECT_EQ(changed([](uint8_t* p) { p[6] = 0x20, p[9] = 6; }), IpDrop::fragment);     // TCP in fragments
  EXPECT_EQ(changed([](uint8_t* p) { p[6] = 0x3f, p[7] = 0xff; }), IpDrop::fragment);  // beyond 64 KiB
  Packet p = udp(pool, kA4, kB4, "x");
  p.data()[8]--;
  EXPECT_EQ(drop_of(p.bytes()), IpDrop::bad_checksum);
}

std::vector<uint8_t> v6_with(std::initializer_list<uint8_t> extension, uint8_t first, Bytes rest) {
  std::vector<uint8_t> p(40 + extension.size() + rest.size());
  p[0] = 0x60;
  p[6] = first;
  store_be16(&p[4], static_cast<uint16_t>(p.size() - 40));
  p[8] = p[24] = 0x20;
  std::copy(rest.begin(), rest.end(), std::copy(extension.begin(), extension.end(), p.begin() + 40));
  return p;
}

TEST(ParseIp, WalksIpv6ExtensionsButNotRoutingHeaders) {
  const uint8_t udp_bytes[] = {0, 1, 0, 2, 0, 8, 0, 0};
  const auto options = v6_with({17, 0, 1, 4, 0, 0, 0, 0}, 60, udp_bytes);
  ASSERT_TRUE(parse_ip(options));
  EXPECT_EQ(parse_ip(options)->destination_port, 2);
  EXPECT_EQ(drop_of(v6_with({17, 0, 0, 0, 0, 0, 0, 0}, 43, udp_bytes)), IpDrop::extension);
  EXPECT_EQ(drop_of(v6_with({17, 9, 0, 0, 0, 0, 0, 0}, 60, udp_bytes)), IpDrop::truncated);
  const auto later = v6_with({17, 0, 0, 8, 0, 0, 0, 1}, 44, udp_bytes);
  ASSERT_TRUE(parse_ip(later));
  EXPECT_EQ(parse_ip(later)->fragment, Fragment::later);
  const auto atomic = v6_with({17, 0, 0, 0, 0, 0, 0, 1}, 44, udp_bytes);
  ASSERT_TRUE(parse_ip(atomic));
  EXPECT_EQ(parse_ip(atomic)->fragment, Fragment::none);
}

TEST(ParseIp, SurvivesRandomBytes) {
  SeededRng rng(3);
  for (int i = 0; i < 20000; i++) {
    std::vector<uint8_t> p(rng.below(120));
    rng.fill(p);
    if (!p.empty()) p[0] = rng.below(2) != 0 ? 0x45 : 0x60;
    if (p.size() >= 20 && p[0] == 0x45) {
      store_be16(&p[2], static_cast<uint16_t>(p.size() - rng.below(3)));
      seal_ipv4_header(p);
    } else if (p.size() > 40) {
      store_be16(&p[4], static_cast<uint16_t>(p.size() - 40));
    }
    const auto h = parse_ip(p);
    EXPECT_TRUE(!h || h->size <= p.size());
  }
}

TEST(Unreachable, QuotesThePacketAndHasRightChecksums) {
  PacketPool pool;
  for (const auto& [a, b] : {std::pair(kA4, kB4), {kA6, kB6}}) {
    const Packet p = udp(pool, a, b, std::string(1200, 'x'));
    Packet out = pool.take();
    ASSERT_TRUE(make_unreachable(p.bytes(), *parse_ip(p.bytes()), Unreachable::prohibited, b, out));
    EXPECT_TRUE(sums_are_right(out.bytes()));
    const auto h = parse_ip(out.bytes());
    EXPECT_EQ(h->destination, a);
    EXPECT_EQ(h->icmp_type, a.is_v4() ? 3 : 1);
    EXPECT_EQ(h->icmp_code, a.is_v4() ? 13 : 1);
    EXPECT_LE(h->size, a.is_v4() ? 576 : 1280);
    EXPECT_TRUE(equal(out.bytes().subspan(h->payload_at + 8, 28), p.bytes().first(28)));
    Packet none = pool.take();
    EXPECT_FALSE(make_unreachable(out.bytes(), *h, Unreachable::port, b, none));  // never about an error
    ASSERT_TRUE(make_too_big(p.bytes(), *parse_ip(p.bytes()), 1280, b, none));
    EXPECT_EQ(load_be16(none.data() + parse_ip(none.bytes())->payload_at + 6), 1280);
  }
}

TEST(TcpReset, AcknowledgesTheSyn) {
  PacketPool pool;
  for (const auto& [a, b] : {std::pair(kA4, kB4), {kA6, kB6}}) {
    const Packet p = syn(pool, a, b, {});
    Packet out = pool.take(), none = pool.take();
    ASSERT_TRUE(make_tcp_reset(p.bytes(), *parse_ip(p.bytes()), out));
    EXPECT_TRUE(sums_are_right(out.bytes()));
    const auto h = parse_ip(out.bytes());
    EXPECT_EQ(h->tcp_flags, kTcpRst | kTcpAck);
    EXPECT_EQ(h->source_port, 443);
    EXPECT_EQ(load_be32(out.data() + h->payload_at + 8), 0xfffffff1);
    EXPECT_FALSE(make_tcp_reset(out.bytes(), *h, none));
  }
}

TEST(ClampMss, LowersOnlyWhatIsTooBigAtAnyOffset) {
  PacketPool pool;
  Packet even = syn(pool, kA4, kB4, {2, 4, 0x05, 0xb4});
  EXPECT_TRUE(clamp_mss(even.bytes(), *parse_ip(even.bytes()), 1280));
  EXPECT_EQ(load_be16(even.data() + 42), 1240);
  EXPECT_TRUE(sums_are_right(even.bytes()));
  EXPECT_FALSE(clamp_mss(even.bytes(), *parse_ip(even.bytes()), 1280));
  Packet odd = syn(pool, kA6, kB6, {1, 2, 4, 0x05, 0xb4, 0, 0, 0});
  EXPECT_TRUE(clamp_mss(odd.bytes(), *parse_ip(odd.bytes()), 1280));
  EXPECT_EQ(load_be16(odd.data() + 63), 1220);
  EXPECT_TRUE(sums_are_right(odd.bytes()));
  Packet broken = syn(pool, kA4, kB4, {1, 1, 2, 40});
  EXPECT_FALSE(clamp_mss(broken.bytes(), *parse_ip(broken.bytes()), 1280));
}

}  // namespace
}  // namespace macrovpn::routing
