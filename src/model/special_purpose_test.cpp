#include "model/special_purpose.h"

#include <gtest/gtest.h>

#include <vector>

#include "model/special_purpose_rows_test.h"

namespace macrovpn {
namespace {

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
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
