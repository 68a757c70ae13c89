#include "core/routing/dns_stream.h"

#include <gtest/gtest.h>

namespace macrovpn::routing {
namespace {

TEST(DnsStream, GivesEachMessageOnceItIsWhole) {
  std::vector<uint8_t> stream = frame_dns(as_bytes("first"));
  const auto second = frame_dns(as_bytes("2nd"));
  stream.insert(stream.end(), second.begin(), second.end());
  for (size_t n = 0; n < 7; n++) EXPECT_FALSE(first_framed_dns(Bytes(stream).first(n))) << n;
  for (size_t n = 7; n <= stream.size(); n++)
    EXPECT_TRUE(equal(*first_framed_dns(Bytes(stream).first(n)), as_bytes("first"))) << n;
  EXPECT_TRUE(equal(*first_framed_dns(Bytes(stream).subspan(7)), as_bytes("2nd")));
}

TEST(DnsStream, CarriesTheEmptyAndTheLargestMessage) {
  EXPECT_TRUE(first_framed_dns(frame_dns({}))->empty());
  const std::vector<uint8_t> large(65535, 7);
  const auto framed = frame_dns(large);
  EXPECT_EQ(framed.size(), kDnsLargestFramed);
  EXPECT_TRUE(equal(*first_framed_dns(framed), large));
}

}  // namespace
}  // namespace macrovpn::routing
