#include "model/special_purpose.h"

#include <gtest/gtest.h>

#include <vector>

namespace macrovpn {
namespace {

// The IANA registries as of 2026-07-18, row by row, with what each says of global reachability ("n/a" is not
// "yes").
struct Row {
  const char* block;
  bool reachable;
};
constexpr Row kRegistry4[] = {
    {"0.0.0.0/8", false},      {"0.0.0.0/32", false},      {"10.0.0.0/8", false},
    {"100.64.0.0/10", false},  {"127.0.0.0/8", false},     {"169.254.0.0/16", false},
    {"172.16.0.0/12", false},  {"192.0.0.0/24", false},    {"192.0.0.0/29", false},
    {"192.0.0.8/32", false},   {"192.0.0.9/32", true},     {"192.0.0.10/32", true},
    {"192.0.0.170/32", false}, {"192.0.0.171/32", false},  {"192.0.2.0/24", false},
    {"192.31.196.0/24", true}, {"192.52.193.0/24", true},  {"192.88.99.0/24", false},
    {"192.88.99.2/32", false}, {"192.168.0.0/16", false},  {"192.175.48.0/24", true},
    {"198.18.0.0/15", false},  {"198.51.100.0/24", false}, {"203.0.113.0/24", false},
    {"224.0.0.0/4", false},    {"240.0.0.0/4", false},     {"255.255.255.255/32", false}};
constexpr Row kRegistry6[] = {
    {"::1/128", false},        {"::/128", false},       {"64:ff9b:1::/48", false},   {"100::/64", false},
    {"100:0:0:1::/64", false}, {"2001::/23", false},    {"2001::/32", false},        {"2001:1::1/128", true},
    {"2001:1::2/128", true},   {"2001:1::3/128", true}, {"2001:2::/48", false},      {"2001:3::/32", true},
    {"2001:4:112::/48", true}, {"2001:10::/28", false}, {"2001:20::/28", true},      {"2001:30::/28", true},
    {"2001:db8::/32", false},  {"2002::/16", false},    {"2620:4f:8000::/48", true}, {"3fff::/20", false},
    {"5f00::/16", false},      {"fc00::/7", false},     {"fe80::/10", false},        {"ff00::/8", false}};

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

IpAddress made(const IpAddress& like, const ByteArray<16>& b) {
  return like.is_v4() ? IpAddress::v4(ByteArray<4>{b[0], b[1], b[2], b[3]}) : IpAddress::v6(b);
}
ByteArray<16> raw(const IpAddress& a) {
  ByteArray<16> out{};
  std::copy(a.bytes().begin(), a.bytes().end(), out.begin());
  return out;
}
IpAddress last_of(const IpPrefix& p) {
  ByteArray<16> b = raw(p.address);
  for (unsigned i = p.length; i < p.address.bits(); i++)
    b[i / 8] = static_cast<uint8_t>(b[i / 8] | 0x80 >> i % 8);
  return made(p.address, b);
}
// The neighbour above or below, if there is one.
std::optional<IpAddress> neighbour(const IpAddress& a, int step) {
  ByteArray<16> b = raw(a);
  for (size_t i = a.bits() / 8; i-- > 0;) {
    const int v = b[i] + step;
    b[i] = static_cast<uint8_t>(v);
    if (v >= 0 && v <= 255) return made(a, b);
  }
  return std::nullopt;
}

// The naive twin: the longest row of the registry that contains the address; without one, IPv4 space and
// 2000::/3.
bool by_registry(std::span<const Row> rows, const IpAddress& a) {
  bool verdict = a.is_v4() || IpPrefix::parse("2000::/3")->contains(a);
  int longest = -1;
  for (const Row& r : rows) {
    const IpPrefix p = *IpPrefix::parse(r.block);
    if (p.contains(a) && p.length > longest) longest = p.length, verdict = r.reachable;
  }
  return verdict;
}

std::vector<IpAddress> edges(std::span<const Row> rows) {
  std::vector<IpAddress> out;
  for (const Row& r : rows) {
    const IpPrefix p = *IpPrefix::parse(r.block);
    for (const IpAddress& end : {p.address, last_of(p)}) {
      out.push_back(end);
      for (const int step : {-1, 1})
        if (const auto n = neighbour(end, step)) out.push_back(*n);
    }
  }
  return out;
}

IpAddress embed(const char* prefix, const IpAddress& v4, size_t at) {
  ByteArray<16> b = raw(ip(prefix));
  std::copy(v4.bytes().begin(), v4.bytes().end(), b.begin() + static_cast<ptrdiff_t>(at));
  return IpAddress::v6(b);
}

TEST(IsGlobalUnicast, FollowsEveryRowOfTheRegistriesAndTheirEdges) {
  for (const IpAddress& a : edges(kRegistry4))
    EXPECT_EQ(is_global_unicast(a), by_registry(kRegistry4, a)) << a.reveal();
  for (const IpAddress& a : edges(kRegistry6))
    EXPECT_EQ(is_global_unicast(a), by_registry(kRegistry6, a)) << a.reveal();
}

TEST(IsGlobalUnicast, JudgesMappedAndTranslatedAddressesByWhatTheyEmbed) {
  for (const IpAddress& a : edges(kRegistry4)) {
    EXPECT_EQ(is_global_unicast(embed("::ffff:0:0", a, 12)), is_global_unicast(a)) << a.reveal();
    EXPECT_EQ(is_global_unicast(embed("64:ff9b::", a, 12)), is_global_unicast(a)) << a.reveal();
  }
}

TEST(IsGlobalUnicast, DeniesTunnelAndDeprecatedFormsWhateverTheyEmbed) {
  for (const char* v4 : {"8.8.8.8", "10.0.0.1", "127.0.0.1"}) {
    EXPECT_FALSE(is_global_unicast(embed("2002::1", ip(v4), 2)));      // 6to4
    EXPECT_FALSE(is_global_unicast(embed("2001:0:1::", ip(v4), 12)));  // Teredo client
    EXPECT_FALSE(is_global_unicast(embed("2001::", ip(v4), 4)));       // Teredo server
    EXPECT_FALSE(is_global_unicast(embed("::", ip(v4), 12)));          // IPv4-compatible
    EXPECT_FALSE(is_global_unicast(embed("64:ff9b:1::", ip(v4), 12)));
    EXPECT_FALSE(is_global_unicast(embed("::ffff:0:0:0", ip(v4), 12)));  // IPv4-translated (RFC 2765)
  }
}

TEST(IsGlobalUnicast, AllowsTheRest) {
  for (const char* a :
       {"1.1.1.1", "9.255.255.255", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0",
        "223.255.255.255", "2000::", "2606:4700::1111", "2a00:1450::1", "3ffe::1"})
    EXPECT_TRUE(is_global_unicast(ip(a))) << a;
  for (const char* a : {"1fff::1", "4000::1", "8000::1", "fec0::1"})
    EXPECT_FALSE(is_global_unicast(ip(a))) << a;
}

TEST(IsGlobalUnicast, CountsExtraBlocksOfALab) {
  const IpPrefix extra[] = {*IpPrefix::parse("192.0.2.0/24"), *IpPrefix::parse("2001:db8:7::/48")};
  EXPECT_TRUE(is_global_unicast(ip("192.0.2.9"), extra));
  EXPECT_TRUE(is_global_unicast(ip("::ffff:192.0.2.9"), extra));
  EXPECT_TRUE(is_global_unicast(ip("64:ff9b::192.0.2.9"), extra));
  EXPECT_TRUE(is_global_unicast(ip("2001:db8:7::1"), extra));
  EXPECT_FALSE(is_global_unicast(ip("2001:db8:8::1"), extra));
  EXPECT_FALSE(is_global_unicast(ip("198.51.100.1"), extra));
}

TEST(EmbeddedV4, ReadsMappedAndNat64Only) {
  EXPECT_EQ(embedded_v4(ip("::ffff:1.2.3.4")), ip("1.2.3.4"));
  EXPECT_EQ(embedded_v4(ip("64:ff9b::1.2.3.4")), ip("1.2.3.4"));
  for (const char* a : {"1.2.3.4", "::1.2.3.4", "64:ff9b:1::1.2.3.4", "2002:102:304::"})
    EXPECT_FALSE(embedded_v4(ip(a)));
}

}  // namespace
}  // namespace macrovpn
