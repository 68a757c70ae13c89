#include "shell/config/quantities.h"

#include <gtest/gtest.h>

namespace macrovpn::shell {
namespace {

TEST(Quantities, RatesAreBytesPerSecond) {
  EXPECT_EQ(parse_bandwidth("20 Mbit/s")->bytes_per_second, 2'500'000u);
  EXPECT_EQ(parse_bandwidth("12MB/s")->bytes_per_second, 12'000'000u);
  EXPECT_EQ(parse_bandwidth("1500")->bytes_per_second, 1500u);
  EXPECT_EQ(parse_bandwidth("1 Gbit/s")->bytes_per_second, 125'000'000u);
  for (const char* bad : {"", "0", "fast", "-5 MB/s", "20 Mb", "20 MB", "1e6", "99999999999999999999", "9999999999999 GB/s"})
    EXPECT_FALSE(parse_bandwidth(bad)) << bad;
}

TEST(Quantities, AmountsAreBytes) {
  EXPECT_EQ(*parse_amount("500 GB"), 500'000'000'000u);
  EXPECT_EQ(*parse_amount("64 MiB"), 64u << 20);
  EXPECT_EQ(*parse_amount("7"), 7u);
  for (const char* bad : {"", "0 GB", "GB", "5 Gb", "5 GB/s", "2000000 TB", "18446744073709551616"})
    EXPECT_FALSE(parse_amount(bad)) << bad;
}

TEST(Quantities, DurationsHaveUnits) {
  EXPECT_EQ(parse_duration("90"), std::chrono::seconds(90));
  EXPECT_EQ(parse_duration("90 s"), std::chrono::seconds(90));
  EXPECT_EQ(parse_duration("30min"), std::chrono::minutes(30));
  EXPECT_EQ(parse_duration("24h"), std::chrono::hours(24));
  EXPECT_EQ(parse_duration("1 d"), std::chrono::hours(24));
  for (const char* bad : {"", "0", "-1 h", "1.5 h", "h", "5 weeks", "400 d", "99999999999999999999"}) EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(Quantities, HoursAreMinutesOfTheDay) {
  EXPECT_EQ(*parse_hours("22:00-07:30"), (peers::Hours{22 * 60, 7 * 60 + 30}));
  for (const char* bad : {"", "22-07", "22:00-22:00", "24:00-07:00", "22:60-07:00", "2:00-07:00", "22:00 07:00", "22:00-07:00 "})
    EXPECT_FALSE(parse_hours(bad)) << bad;
}

TEST(Quantities, AreShownShort) {
  EXPECT_EQ(amount_text(0), "0 B");
  EXPECT_EQ(amount_text(999), "999 B");
  EXPECT_EQ(amount_text(1'240'000'000), "1.2 GB");
  EXPECT_EQ(amount_text(UINT64_MAX), "18.4 EB");
}

}  // namespace
}  // namespace macrovpn::shell
