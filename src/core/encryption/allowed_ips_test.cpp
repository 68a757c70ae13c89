#include "core/encryption/allowed_ips.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace macrovpn::encryption {
namespace {

IpPrefix net(const char* s) {
  return *IpPrefix::parse(s);
}
IpAddress ip(const char* s) {
  return *IpAddress::parse(s);
}

TEST(AllowedIps, FindsTheLongestPrefix) {
  AllowedIps t;
  t.insert(net("0.0.0.0/0"), {1});
  t.insert(net("10.0.0.0/8"), {2});
  t.insert(net("10.1.2.0/24"), {3});
  t.insert(net("::/0"), {4});
  t.insert(net("2001:db8::/32"), {5});
  EXPECT_EQ(t.find(ip("192.0.2.1")), PeerRef{1});
  EXPECT_EQ(t.find(ip("10.2.0.0")), PeerRef{2});
  EXPECT_EQ(t.find(ip("10.1.2.255")), PeerRef{3});
  EXPECT_EQ(t.find(ip("fd00::1")), PeerRef{4});
  EXPECT_EQ(t.find(ip("2001:db8:ffff::")), PeerRef{5});
  t.remove({4});
  EXPECT_EQ(t.find(ip("fd00::1")), PeerRef{});
}

// All prefixes in a list, the best match by going through it.
struct NaiveTable {
  std::vector<std::pair<IpPrefix, PeerRef>> all;
  void insert(const IpPrefix& p, PeerRef r) {
    std::erase_if(all, [&](const auto& e) { return e.first == p; });
    all.emplace_back(p, r);
  }
  PeerRef find(const IpAddress& a) const {
    int best = -1;
    PeerRef out;
    for (const auto& [p, r] : all) {
      if (p.contains(a) && p.length > best) best = p.length, out = r;
    }
    return out;
  }
  std::vector<IpPrefix> of(PeerRef owner) const {
    std::vector<IpPrefix> out;
    for (const auto& [p, r] : all) {
      if (r == owner) out.push_back(p);
    }
    return out;
  }
};

TEST(AllowedIps, EqualsItsNaiveTwin) {
  SeededRng rng(3);
  AllowedIps t;
  NaiveTable naive;
  const auto address = [&] {
    if (rng.below(2) == 0) return IpAddress::v4(static_cast<uint32_t>(0x0a000000 | rng.below(1024)));
    ByteArray<16> b{0x20, 1};
    b[15] = static_cast<uint8_t>(rng.below(256));
    b[7] = static_cast<uint8_t>(rng.below(2));
    return IpAddress::v6(b);
  };
  for (int i = 0; i < 5'000; i++) {
    const IpAddress a = address();
    const uint64_t what = rng.below(24);
    if (what == 0) {
      const PeerRef gone{1 + rng.below(8)};
      t.remove(gone);
      std::erase_if(naive.all, [&](const auto& e) { return e.second == gone; });
    } else if (what < 8) {
      const IpPrefix p = IpPrefix::of(a, a.bits() - static_cast<unsigned>(rng.below(12)));
      const PeerRef r{1 + rng.below(8)};
      EXPECT_TRUE(t.insert(p, r));
      naive.insert(p, r);
    }
    if (what == 8) {
      const IpPrefix p = IpPrefix::of(a, a.bits() - static_cast<unsigned>(rng.below(12)));
      const PeerRef r{1 + rng.below(8)};
      t.remove_one(p, r);
      std::erase(naive.all, std::pair(p, r));
    }
    ASSERT_EQ(t.find(a), naive.find(a));
    ASSERT_EQ(t.size(), naive.all.size());
    if (i % 16 == 0) {
      for (uint64_t r = 1; r < 9; r++) ASSERT_EQ(t.of({r}), naive.of({r}));
    }
  }
}

TEST(AllowedIps, AreBounded) {
  AllowedIps t;
  for (uint32_t i = 0; i < AllowedIps::kMaxPrefixes; i++)
    ASSERT_TRUE(t.insert(IpPrefix::of(IpAddress::v4(i), 32), {1}));
  EXPECT_FALSE(t.insert(net("10.0.0.0/8"), {1}));
  EXPECT_EQ(t.find(ip("10.1.2.3")), PeerRef{});
  EXPECT_TRUE(t.insert(net("0.0.0.7/32"), {2}));  // moving one is no growth
}

TEST(InnerPacket, StatesItsOwnLengthAndIsRefusedWhenItLies) {
  std::vector<uint8_t> p(64);
  p[0] = 0x45;
  store_be16(&p[2], 50);
  p[12] = 10;
  p[16] = 11;
  const auto v4 = parse_inner_packet(p);
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->length, 50u);
  EXPECT_EQ(v4->source, ip("10.0.0.0"));
  EXPECT_EQ(v4->destination, ip("11.0.0.0"));
  store_be16(&p[2], 65);
  EXPECT_FALSE(parse_inner_packet(p));
  store_be16(&p[2], 19);
  EXPECT_FALSE(parse_inner_packet(p));
  store_be16(&p[2], 50);
  p[0] = 0x44;
  EXPECT_FALSE(parse_inner_packet(p));
  p[0] = 0x60;
  store_be16(&p[4], 24);
  EXPECT_TRUE(parse_inner_packet(p));
  EXPECT_EQ(parse_inner_packet(p)->length, 64u);
  store_be16(&p[4], 25);
  EXPECT_FALSE(parse_inner_packet(p));
  EXPECT_FALSE(parse_inner_packet(Bytes(p).first(39)));
  EXPECT_FALSE(parse_inner_packet({}));
}

}  // namespace
}  // namespace macrovpn::encryption
