#include "model/ip.h"

#include <gtest/gtest.h>

namespace macrovpn {
namespace {

TEST(IpAddress, ReadsAndWritesTheFormsOfRfc5952) {
  const std::pair<const char*, const char*> cases[] = {{"192.0.2.1", "192.0.2.1"},
                                                       {"::", "::"},
                                                       {"::1", "::1"},
                                                       {"2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
                                                       {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
                                                       {"::ffff:192.0.2.1", "::ffff:c000:201"},
                                                       {"1::", "1::"},
                                                       {"fe80::1:2:3:4", "fe80::1:2:3:4"}};
  for (const auto& [in, out] : cases) {
    const auto a = IpAddress::parse(in);
    ASSERT_TRUE(a) << in;
    EXPECT_EQ(a->reveal(), out);
  }
}

TEST(IpAddress, RefusesEverythingElse) {
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "1.2.3.4 ", ":::", "1::2::3",
                          "12345::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8:9",
                          "fe80::1%eth0", "::1.2.3", ":1"}) {
    EXPECT_FALSE(IpAddress::parse(bad)) << bad;
  }
}

TEST(IpPrefix, ClearsHostBitsAndContains) {
  const auto p = IpPrefix::parse("198.51.100.77/20");
  ASSERT_TRUE(p);
  EXPECT_EQ(p->reveal(), "198.51.96.0/20");
  EXPECT_TRUE(p->contains(*IpAddress::parse("198.51.111.255")));
  EXPECT_FALSE(p->contains(*IpAddress::parse("198.51.112.0")));
  EXPECT_FALSE(p->contains(*IpAddress::parse("::ffff:198.51.100.1")));
  EXPECT_TRUE(IpPrefix::parse("::/0")->contains(*IpAddress::parse("2001:db8::1")));
  EXPECT_FALSE(IpPrefix::parse("1.2.3.4/33"));
  EXPECT_FALSE(IpPrefix::parse("1.2.3.4/"));
}

TEST(Endpoint, WantsBracketsAroundVersion6Only) {
  EXPECT_EQ(Endpoint::parse("[2001:db8::1]:51820")->reveal(), "[2001:db8::1]:51820");
  EXPECT_EQ(Endpoint::parse("192.0.2.1:1")->reveal(), "192.0.2.1:1");
  for (const char* bad :
       {"192.0.2.1", "192.0.2.1:0", "192.0.2.1:65536", "2001:db8::1:51820", "[192.0.2.1]:1", ":1"})
    EXPECT_FALSE(Endpoint::parse(bad)) << bad;
}

}  // namespace
}  // namespace macrovpn
