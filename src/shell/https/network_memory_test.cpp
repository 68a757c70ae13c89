#include "shell/https/network_memory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "shell/config/atomic_file.h"

namespace macrovpn::shell::https {
namespace {

constexpr const char* kHome = "02:00:00:00:00:01";
constexpr const char* kCafe = "02:00:00:00:00:02";

struct Memory : testing::Test {
  SeededRng rng{1};
  Wall now = wall_from_unix(1'800'000'000);
  std::string file = testing::TempDir() + "transports_test";
  Memory() { std::filesystem::remove(file); }
  ~Memory() override { std::filesystem::remove(file); }
};

TEST_F(Memory, RemembersANetworkForADay) {
  NetworkMemory m(file, rng);
  EXPECT_FALSE(m.needs_https(kHome, now));
  m.note(kHome, true, now);
  EXPECT_TRUE(m.needs_https(kHome, now));
  EXPECT_FALSE(m.needs_https(kCafe, now));
  EXPECT_TRUE(m.needs_https(kHome, now + std::chrono::hours(24) - 1s));
  EXPECT_FALSE(m.needs_https(kHome, now + std::chrono::hours(24)));
  EXPECT_FALSE(m.needs_https(kHome, now - 1s)) << "the clock went back";
}

TEST_F(Memory, OutlivesTheProcessAndForgetsWhenUdpWorksAgain) {
  NetworkMemory(file, rng).note(kHome, true, now);
  NetworkMemory m(file, rng);
  EXPECT_TRUE(m.needs_https(kHome, now));
  m.note(kHome, false, now);
  EXPECT_FALSE(NetworkMemory(file, rng).needs_https(kHome, now));
}

TEST_F(Memory, TheFileNamesNoNetworkAndIsOursAlone) {
  NetworkMemory(file, rng).note(kHome, true, now);
  const auto bytes = read_file(file, 1000);
  ASSERT_TRUE(bytes.ok());
  const std::string text(bytes->begin(), bytes->end());
  EXPECT_EQ(text.find(kHome), std::string::npos);
  EXPECT_EQ(text.find(std::string("\x02\0\0\0\0\x01", 6)), std::string::npos);
  struct stat s;
  ASSERT_EQ(stat(file.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0600u);
  NetworkMemory("", rng).note(kCafe, true, now);
}

TEST_F(Memory, IsBounded) {
  NetworkMemory m(file, rng);
  for (size_t i = 0; i <= NetworkMemory::kMost; i++) m.note("gateway " + std::to_string(i), true, now);
  EXPECT_FALSE(m.needs_https("gateway 0", now));
  EXPECT_TRUE(m.needs_https("gateway 1", now));
  EXPECT_EQ(read_file(file, 10'000)->size(), 32 + NetworkMemory::kMost * 24);
}

TEST_F(Memory, ADamagedFileIsForgotten) {
  ASSERT_TRUE(write_file(file, as_bytes("short")).ok());
  NetworkMemory m(file, rng);
  EXPECT_FALSE(m.needs_https(kHome, now));
  m.note(kHome, true, now);
  EXPECT_TRUE(NetworkMemory(file, rng).needs_https(kHome, now));
}

TEST_F(Memory, OnADiskNothingIsWritten) {
  EXPECT_EQ(NetworkMemory::file_in("/proc"), "");
  EXPECT_EQ(NetworkMemory::file_in("/nonexistent"), "");
}

constexpr const char* kRoutes =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
    "eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
    "eth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
constexpr const char* kNeighbours =
    "IP address       HW type     Flags       HW address            Mask     Device\n"
    "192.168.1.1      0x1         0x2         02:00:00:00:00:01     *        wlan0\n"
    "192.0.2.1        0x1         0x2         02:00:00:00:00:02     *        eth0\n";

TEST(NetworkName, IsTheHardwareAddressOfTheBestGateway) {
  EXPECT_EQ(network_name_from(kRoutes, kNeighbours), "02:00:00:00:00:02");
  EXPECT_FALSE(network_name_from(kRoutes, "").has_value());
  EXPECT_FALSE(network_name_from("", kNeighbours).has_value());
  EXPECT_FALSE(network_name_from(kRoutes, "192.0.2.1 0x1 0x0 00:00:00:00:00:00 * eth0\n").has_value()) << "nobody answered yet";
}

}  // namespace
}  // namespace macrovpn::shell::https
