#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "shell/system/boot_files.h"
#include "shell/system/kill_switch.h"
#include "shell/system/resolv_conf.h"
#include "shell/system/system_vpn.h"

namespace macrovpn::shell::system {
namespace {

namespace fs = std::filesystem;
using Gave = ResolvConf::Gave;

std::string text_of(const fs::path& p) {
  std::ifstream in(p);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

class Names : public ::testing::Test {
 protected:
  Names() {
    char name[] = "/tmp/system-test-XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ / "resolv.conf";
  }
  ~Names() override { fs::remove_all(folder_); }
  ResolvConf names() const { return {path_.string(), (folder_ / "kept").string()}; }
  void write(const std::string& text) const { std::ofstream(path_) << text; }

  fs::path folder_, path_;
};

TEST_F(Names, AreRestoredByteForByteWithTheirMode) {
  write("nameserver 192.0.2.53\n\n# no newline at the end");
  chmod(path_.c_str(), 0640);
  ASSERT_TRUE(names().take().ok());
  EXPECT_EQ(text_of(path_), ResolvConf::our_contents());
  ASSERT_EQ(names().give_back().value(), Gave::restored);
  EXPECT_EQ(text_of(path_), "nameserver 192.0.2.53\n\n# no newline at the end");
  struct stat s;
  ASSERT_EQ(stat(path_.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 07777, 0640u);
  EXPECT_EQ(names().give_back().value(), Gave::nothing);
}

TEST_F(Names, KeepALinkALinkAndWhatItLeadsToUntouched) {
  std::ofstream(folder_ / "of-a-resolver") << "nameserver 127.0.0.53\n";
  fs::create_symlink("of-a-resolver", path_);
  ASSERT_TRUE(names().take().ok());
  EXPECT_FALSE(fs::is_symlink(path_));
  EXPECT_EQ(text_of(folder_ / "of-a-resolver"), "nameserver 127.0.0.53\n");
  ASSERT_EQ(names().give_back().value(), Gave::restored);
  EXPECT_EQ(fs::read_symlink(path_), "of-a-resolver");
}

TEST_F(Names, KeepADanglingLinkAndAMissingFile) {
  fs::create_symlink("nowhere", path_);
  ASSERT_TRUE(names().take().ok());
  ASSERT_EQ(names().give_back().value(), Gave::restored);
  EXPECT_EQ(fs::read_symlink(path_), "nowhere");
  fs::remove(path_);
  ASSERT_TRUE(names().take().ok());
  EXPECT_TRUE(fs::exists(path_));
  ASSERT_EQ(names().give_back().value(), Gave::restored);
  EXPECT_FALSE(fs::exists(fs::symlink_status(path_)));
}

TEST_F(Names, TakenTwiceKeepTheOriginal) {
  write("original");
  ASSERT_TRUE(names().take().ok());
  ASSERT_TRUE(names().take().ok());
  ASSERT_EQ(names().give_back().value(), Gave::restored);
  EXPECT_EQ(text_of(path_), "original");
}

// A file that is a mount of its own is written in place; a crash can cut that off at any byte.
TEST_F(Names, SurviveAWriteThatWasCutOff) {
  const std::string ours = ResolvConf::our_contents();
  for (size_t n = 0; n <= ours.size(); n++) {
    write("original");
    ASSERT_TRUE(names().take().ok());
    write(ours.substr(0, n));
    ASSERT_TRUE(names().take().ok());
    EXPECT_EQ(text_of(path_), ours);
    write(ours.substr(0, n));
    ASSERT_EQ(names().give_back().value(), Gave::restored);
    EXPECT_EQ(text_of(path_), "original");
  }
  // And the way back.
  for (size_t n = 0; n < 8; n++) {
    write("original");
    ASSERT_TRUE(names().take().ok());
    write(std::string("original").substr(0, n));
    ASSERT_EQ(names().give_back().value(), Gave::restored);
    EXPECT_EQ(text_of(path_), "original");
  }
}

TEST_F(Names, OfAnotherProgramAreWhatIsRestored) {
  write("original");
  ASSERT_TRUE(names().take().ok());
  write("from a DHCP client");
  ASSERT_TRUE(names().take().ok());
  EXPECT_EQ(text_of(path_), ResolvConf::our_contents());
  ASSERT_EQ(names().give_back().value(), Gave::restored);
  EXPECT_EQ(text_of(path_), "from a DHCP client");

  ASSERT_TRUE(names().take().ok());
  write("from another DHCP client");
  ASSERT_EQ(names().give_back().value(), Gave::left_to_others);
  EXPECT_EQ(text_of(path_), "from another DHCP client");
}

TEST_F(Names, OfOursAreNeverKeptAsTheOriginal) {
  write(ResolvConf::our_contents());
  ASSERT_TRUE(names().take().ok());
  EXPECT_FALSE(fs::exists(folder_ / "kept"));
  EXPECT_EQ(names().give_back().value(), Gave::original_unknown);
  write("from a DHCP client");
  ASSERT_TRUE(names().take().ok());
  ASSERT_EQ(names().give_back().value(), Gave::restored);
  EXPECT_EQ(text_of(path_), "from a DHCP client");
}

TEST_F(Names, StayAsTheyAreIfTheOriginalCannotBeKept) {
  write("original");
  const ResolvConf nowhere_to_keep(path_.string(), (folder_ / "no" / "folder").string());
  EXPECT_FALSE(ResolvConf(nowhere_to_keep).take().ok());
  EXPECT_EQ(text_of(path_), "original");
}

TEST_F(Names, AreLeftAloneIfWhatWasKeptIsDamaged) {
  write("original");
  ASSERT_TRUE(names().take().ok());
  for (const char* kept :
       {"", "[]", "{}", "{\"kind\":7,\"contents\":\"\"}", "{\"kind\":\"file\",\"contents\":[]}",
        "{\"kind\":\"pipe\",\"contents\":\"\"}", "{\"kind\":\"file\",\"contents\":\"\",\"mode\":99999}"}) {
    std::ofstream(folder_ / "kept") << kept;
    const auto gave = names().give_back();
    ASSERT_FALSE(gave.ok()) << kept;
    EXPECT_NE(gave.error().message.find("damaged"), std::string::npos);
    EXPECT_FALSE(names().take().ok()) << kept;
    EXPECT_TRUE(fs::exists(path_)) << kept;
  }
}

TEST(KillSwitch, ReadsWhatNftSaysOfItAndRefusesTheRest) {
  const auto state = read_kill_switch_listing(
      R"({"nftables":[{"metainfo":{}},{"counter":{"name":"ipv6","packets":3,"bytes":200}},
          {"counter":{"name":"names","packets":0}},{"counter":{"name":"names","packets":"many"}},{"counter":7},8]})");
  ASSERT_TRUE(state.ok());
  EXPECT_TRUE(state->loaded);
  ASSERT_EQ(state->blocked.size(), 1u);
  EXPECT_EQ(state->blocked[0].packets, 3u);
  for (const char* other : {"", "7", "{}", "{\"nftables\":{}}", "{\"nftables\":null}"})
    EXPECT_FALSE(read_kill_switch_listing(other).ok()) << other;
}

TEST(KillSwitch, ThePackagedRulesAreTheOnesThatUpLoads) {
  EXPECT_EQ(text_of(fs::path(MACROVPN_PACKAGING) / "kill-switch.nft"), kill_switch_rules());
}

// nftables.service begins with `flush ruleset`.
TEST(KillSwitch, AtBootComesAfterOtherFirewallsAndBeforeTheNetwork) {
  char name[] = "/tmp/system-test-XXXXXX";
  const std::string folder = mkdtemp(name);
  const auto files = install_at_boot(Paths{folder, folder, folder, folder});
  ASSERT_TRUE(files.ok());
  const std::string unit = text_of(files->unit);
  EXPECT_NE(unit.find("\nAfter=nftables.service netfilter-persistent.service ufw.service\n"), std::string::npos);
  EXPECT_NE(unit.find("\nBefore=network-pre.target\n"), std::string::npos);
  fs::remove_all(folder);
}

// As little as systemd needs to run it at the next start, and nothing left behind.
TEST(NamesUnit, IsWantedBeforeTheNetworkAndGoesWithoutATrace) {
  char name[] = "/tmp/system-test-XXXXXX";
  const fs::path folder = mkdtemp(name);
  const Paths paths{"/c", "/var/lib/macrovpn", "/d", "/r"};
  for (int twice = 0; twice < 2; twice++)
    ASSERT_TRUE(install_names_unit(folder, "/opt/a \"b\" 50%/macrovpn", paths).ok());
  const std::string unit = text_of(folder / "sysinit.target.wants" / "macrovpn-names.service");
  EXPECT_NE(unit.find("\nConditionPathExists=/var/lib/macrovpn/system-resolv.conf\n"), std::string::npos) << unit;
  EXPECT_NE(unit.find("\nExecStart=\"/opt/a \\\"b\\\" 50%%/macrovpn\" down --after-restart\n"), std::string::npos) << unit;
  EXPECT_NE(unit.find("\nBefore=network-pre.target "), std::string::npos);
  EXPECT_TRUE(remove_names_unit(folder).value());
  EXPECT_FALSE(remove_names_unit(folder).value());
  EXPECT_TRUE(fs::is_empty(folder / "sysinit.target.wants"));
  EXPECT_FALSE(remove_names_unit(folder / "none").value());
  fs::remove_all(folder);
}

// What the state folder of a computer holds that was restarted while up; no device of ours is in a unit test.
class Restarted : public Names {
 protected:
  Paths paths() const { return {folder_, folder_, folder_, folder_}; }
  void leave_behind(const std::string& kept) const {
    std::ofstream(folder_ / "system-up") << R"({"src_valid_mark":"0"})";
    std::ofstream(folder_ / "kept") << kept;
    write(ResolvConf::our_contents());
  }
};

TEST_F(Restarted, NamesThatAnEarlierReleaseKeptComeBack) {
  leave_behind(R"({"kind":"file","contents":"6e616d657365727665722031","mode":416,"owner":0,"group":0})");
  EXPECT_TRUE(names().is_ours());
  ASSERT_EQ(names().give_back().value(), Gave::restored);
  EXPECT_EQ(text_of(path_), "nameserver 1");
  leave_behind(R"({"kind":"link","contents":"2e2e2f72756e2f78","mode":511,"owner":0,"group":0})");
  ASSERT_EQ(names().give_back().value(), Gave::restored);
  EXPECT_EQ(fs::read_symlink(path_), "../run/x");
  EXPECT_FALSE(names().is_ours());
}

TEST_F(Restarted, WithoutAnythingUpNothingIsGivenBack) {
  EXPECT_FALSE(was_restarted(paths()));
  EXPECT_FALSE(give_back_names_after_restart(paths()).value());
  leave_behind("{}");
  EXPECT_TRUE(was_restarted(paths()));
}

TEST(KillSwitch, ExemptsNoAddressButLinkLocalAndInsideOnes) {
  const std::string rules = kill_switch_rules();
  EXPECT_EQ(rules.find('$'), std::string::npos);
  std::istringstream lines(rules);
  for (std::string line; std::getline(lines, line);) {
    const bool accepts = line.find("accept") != std::string::npos && line.find("policy") == std::string::npos;
    const bool by_address = line.find("daddr") != std::string::npos;
    if (!accepts || !by_address) continue;
    EXPECT_TRUE(line.find("daddr { fe80::/10, ff02::/16 }") != std::string::npos ||
                line.find("daddr ff02::1:2 ") != std::string::npos ||
                line.find("iifname \"macrovpn0\"") != std::string::npos)
        << line;
  }
}

}  // namespace
}  // namespace macrovpn::shell::system
