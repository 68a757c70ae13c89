#include "shell/config/traffic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "shell/config/atomic_file.h"

namespace macrovpn::shell {
namespace {

class TrafficFile : public ::testing::Test {
 protected:
  TrafficFile() {
    char name[] = "/tmp/mv-traffic-XXXXXX";
    dir_ = mkdtemp(name);
  }
  ~TrafficFile() override { std::filesystem::remove_all(dir_); }
  std::string file() const { return dir_ + "/traffic"; }
  std::string dir_;
};

TEST_F(TrafficFile, ComesBackAsItWasWritten) {
  EXPECT_EQ(*load_traffic(file()), peers::TrafficRecord{}) << "none yet";
  const peers::TrafficRecord r{20'000, 19'998, 5, UINT64_MAX, 7};
  ASSERT_TRUE(store_traffic(file(), r));
  EXPECT_EQ(*load_traffic(file()), r);
  const peers::TrafficRecord early{3, -14, 0, 0, 0};  // a clock that starts in 1970
  ASSERT_TRUE(store_traffic(file(), early));
  EXPECT_EQ(*load_traffic(file()), early);
}

TEST_F(TrafficFile, ThatIsDamagedIsNoZero) {
  const std::string good = "macrovpn traffic 1\nday 1\nmonth 1\nday_bytes 1\nmonth_bytes 1\ntotal_bytes 1\n";
  ASSERT_TRUE(write_file(file(), as_bytes(good)));
  ASSERT_TRUE(load_traffic(file()));
  for (size_t size = 0; size < good.size(); size++) {
    ASSERT_TRUE(write_file(file(), as_bytes(good.substr(0, size))));
    EXPECT_FALSE(load_traffic(file())) << size;
  }
  for (const std::string& bad : {good + "x", good + "\n", std::string("macrovpn traffic 1\nday -1\nmonth 1\nday_bytes 1\nmonth_bytes 1\ntotal_bytes 1\n"),
                                 std::string("macrovpn traffic 1\nday 1\nmonth 9999999\nday_bytes 1\nmonth_bytes 1\ntotal_bytes 1\n")}) {
    ASSERT_TRUE(write_file(file(), as_bytes(bad)));
    EXPECT_FALSE(load_traffic(file())) << bad;
  }
}

TEST_F(TrafficFile, ThatEverybodyCanWriteIsRefused) {
  ASSERT_TRUE(store_traffic(file(), {}));
  chmod(file().c_str(), 0666);
  const auto r = load_traffic(file());
  ASSERT_FALSE(r);
  EXPECT_NE(r.error().message.find("chmod o-w"), std::string::npos);
}

}  // namespace
}  // namespace macrovpn::shell
