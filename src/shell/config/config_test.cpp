#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "shell/config/atomic_file.h"
#include "shell/config/key_store.h"
#include "shell/config/network_file.h"
#include "shell/config/paths.h"
#include "shell/config/settings.h"
#include "shell/namespace.h"

namespace macrovpn::shell {
namespace {

const Wall kNow = wall_from_unix(1'800'000'000);
constexpr crypto::PassphraseCost kCheap{1, 64};

class Config : public ::testing::Test {
 protected:
  Config() {
    char name[] = "/tmp/mv-config-XXXXXX";
    dir_ = mkdtemp(name);
  }
  ~Config() override { std::filesystem::remove_all(dir_); }
  std::string path(const std::string& name) const { return dir_ + "/" + name; }
  std::string text(const std::string& name) const {
    const auto b = read_file(path(name), 1 << 20);
    return b ? std::string(b->begin(), b->end()) : "(none)";
  }
  void put(const std::string& name, std::string_view contents) {
    ASSERT_TRUE(write_file(path(name), as_bytes(contents)).ok());
  }
  std::string settings_error(std::string_view contents) {
    put("s.toml", contents);
    const auto r = load_settings(path("s.toml"), path("none"));
    return r ? "(accepted)" : r.error().message;
  }

  std::string dir_;
  SeededRng rng_{3};
};

TEST_F(Config, AFileIsReplacedWholeAndOursOnly) {
  put("f", "one");
  put("f", "two");
  EXPECT_EQ(text("f"), "two");
  struct stat s;
  ASSERT_EQ(stat(path("f").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0600u);
  EXPECT_FALSE(file_exists(path(".macrovpn.new")));
}

TEST_F(Config, OfTwoThatMakeAFileOnlyOneDoes) {
  EXPECT_EQ(*create_file(path("f"), as_bytes("one")), Created::yes);
  EXPECT_EQ(*create_file(path("f"), as_bytes("two")), Created::existed);
  EXPECT_EQ(text("f"), "one");
}

TEST_F(Config, AWriterThatWasKilledLeavesTheOldOrTheNewFile) {
  const std::string a(200'000, 'a'), b(200'000, 'b');
  put("f", a);
  for (int i = 0; i < 20; i++) {
    const pid_t child = fork();
    if (child == 0) {
      for (;;)
        static_cast<void>(write_file(path("f"), as_bytes(b)).ok() && write_file(path("f"), as_bytes(a)).ok());
    }
    usleep(3000 + 700 * static_cast<unsigned>(i));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const std::string now = text("f");
    ASSERT_TRUE(now == a || now == b) << now.size();
  }
  put("f", "after");
  EXPECT_EQ(text("f"), "after");
  EXPECT_FALSE(file_exists(path(".macrovpn.new")));
}

// In a mount namespace of its own, on a file system of 64 KiB.
int write_to_a_full_disk(const std::string& dir) {
  if (!enter_namespaces(Mounts::own)) return 77;
  if (mount("tmpfs", dir.c_str(), "tmpfs", 0, "size=64k") != 0) return 77;
  if (!write_file(dir + "/f", as_bytes("old"))) return 1;
  const auto r = write_file(dir + "/f", as_bytes(std::string(200'000, 'x')));
  if (r || r.error().message.find("disk is full; free some space") == std::string::npos) return 2;
  const auto left = read_file(dir + "/f", 100);
  if (!left || !equal(*left, as_bytes("old"))) return 3;
  return file_exists(dir + "/.macrovpn.new") ? 4 : 0;
}

TEST_F(Config, AFullDiskLeavesTheOldFileAndSaysWhatToDo) {
  const pid_t child = fork();
  if (child == 0) _exit(write_to_a_full_disk(dir_));
  int status = 0;
  waitpid(child, &status, 0);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no namespaces here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(Config, PathsFollowXdgAndTheirFallbacks) {
  Environment e{1000, "/home/u", "", "", "", ""};
  Paths p = *find_paths(e, {});
  EXPECT_EQ(p.settings_file(), "/home/u/.config/macrovpn/settings.toml");
  EXPECT_EQ(p.key_file(), "/home/u/.local/state/macrovpn/keys");
  EXPECT_EQ(p.descriptor_folder(), "/home/u/.local/share/macrovpn/descriptors");
  EXPECT_EQ(p.control_socket(), "/tmp/macrovpn-1000/control.sock");
  e.config_home = "/c", e.state_home = "not/absolute", e.runtime_dir = "/run/user/1000";
  p = *find_paths(e, {});
  EXPECT_EQ(p.config, "/c/macrovpn");
  EXPECT_EQ(p.state, "/home/u/.local/state/macrovpn");
  EXPECT_EQ(p.runtime, "/run/user/1000/macrovpn");
  e.uid = 0;
  EXPECT_EQ(find_paths(e, {})->state, "/var/lib/macrovpn");
  EXPECT_EQ(find_paths(e, "/s/../t")->control_socket(), "/t/run/control.sock");
  EXPECT_FALSE(find_paths(e, "/" + std::string(100, 'x')).ok()) << "too long for a socket";
  EXPECT_FALSE(find_paths({1000, "", "", "", "", ""}, {}).ok());
}

TEST_F(Config, FoldersAreOursOrRefused) {
  ASSERT_TRUE(make_folders(*find_paths({}, path("deep/er"))).ok());
  struct stat s;
  ASSERT_EQ(stat(path("deep/er/run").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0700u);
  ASSERT_EQ(symlink("/etc", path("link").c_str()), 0);
  EXPECT_FALSE(make_private_folder(path("link")).ok());
  if (geteuid() != 0) return;
  ASSERT_EQ(mkdir(path("theirs").c_str(), 0755), 0);
  ASSERT_EQ(chown(path("theirs").c_str(), 12345, 12345), 0);
  EXPECT_NE(make_private_folder(path("theirs")).error().message.find("belongs to another user"),
            std::string::npos);
}

TEST_F(Config, KeysAreMadeOnceAndKept) {
  const auto first = load_or_create_keys(path("keys"), rng_, kNow);
  const auto second = load_or_create_keys(path("keys"), rng_, kNow + std::chrono::hours(5));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->identity.pub, second->identity.pub);
  EXPECT_EQ(first->wireguard.secret, second->wireguard.secret);
  EXPECT_EQ(first->wireguard.pub, second->wireguard.pub);
  EXPECT_EQ(first->created, second->created);
  EXPECT_FALSE(store_new_keys(path("keys"), *first).ok()) << "never overwritten";
}

TEST_F(Config, KeysThatOthersCanReadAreRefused) {
  ASSERT_TRUE(load_or_create_keys(path("keys"), rng_, kNow).ok());
  for (const mode_t mode : {0640, 0604, 0660}) {
    chmod(path("keys").c_str(), mode);
    EXPECT_NE(load_keys(path("keys")).error().message.find("chmod 600"), std::string::npos);
  }
  chmod(path("keys").c_str(), 0600);
  EXPECT_TRUE(load_keys(path("keys")).ok());
}

TEST_F(Config, DamagedKeysAreRefused) {
  ASSERT_TRUE(load_or_create_keys(path("keys"), rng_, kNow).ok());
  const std::string good = text("keys");
  for (size_t n = 0; n < good.size(); n++) {
    put("keys", good.substr(0, n));
    EXPECT_FALSE(load_keys(path("keys")).ok()) << n;
  }
}

TEST_F(Config, ABackupOpensWithItsPassphraseOnly) {
  const Keys keys = generate_keys(rng_, kNow);
  const auto backup = backup_keys(keys, "four words are enough", rng_, kCheap);
  ASSERT_TRUE(backup);
  const auto restored = restore_keys("Printed on paper:\n" + *backup + "\nthanks", "four words are enough");
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(restored->identity.seed, keys.identity.seed);
  EXPECT_EQ(restored->wireguard.secret, keys.wireguard.secret);
  EXPECT_EQ(restored->created, keys.created);
  EXPECT_NE(restore_keys(*backup, "four words are enoug").error().message.find("does not open"),
            std::string::npos);
  EXPECT_FALSE(restore_keys(backup->substr(10), "four words are enough").ok());
  EXPECT_FALSE(restore_keys("", "four words are enough").ok());
  EXPECT_FALSE(backup_keys(keys, "short", rng_, kCheap).ok());
}

TEST_F(Config, ASigningKeyIsKeptInAFileOfItsOwn) {
  const auto key = crypto::ed25519_generate(rng_);
  ASSERT_TRUE(store_new_signing_key(path("k"), key).ok());
  EXPECT_EQ(load_signing_key(path("k"))->pub, key.pub);
  EXPECT_FALSE(load_keys(path("k")).ok());
}

Network a_network() {
  Network n;
  n.name = "lab \"one\"";
  n.pow_bits = 3;
  n.diversity_v4 = 24;
  n.guard_age = std::chrono::seconds(90);
  n.signed_at = wall_from_unix(1'790'000'000);
  n.seeds = {{{{1}}, {{2}}, {*Endpoint::parse("192.0.2.1:51820"), *Endpoint::parse("[2001:db8::1]:51820")}},
             {{{3}}, {{4}}, {*Endpoint::parse("198.51.100.1:443")}}};
  n.extra_global = {*IpPrefix::parse("198.51.100.0/24"), *IpPrefix::parse("2001:db8::/32")};
  return n;
}

TEST_F(Config, ANetworkFileSaysWhatWasSigned) {
  const auto key = crypto::ed25519_generate(rng_);
  const std::string text = sign_network_file(a_network(), key);
  const auto n = parse_network_file(text, "n");
  ASSERT_TRUE(n) << n.error().message;
  EXPECT_EQ(n->key, key.pub);
  EXPECT_EQ(n->id, network_id_of(key.pub));
  EXPECT_EQ(n->name, a_network().name);
  EXPECT_EQ(n->pow_bits, 3u);
  EXPECT_EQ(n->diversity_v4, 24u);
  EXPECT_EQ(n->guard_age, a_network().guard_age);
  EXPECT_EQ(n->seeds, a_network().seeds);
  EXPECT_EQ(n->signed_at, a_network().signed_at);
  EXPECT_EQ(n->extra_global, a_network().extra_global);
  EXPECT_TRUE(n->is_lab());
}

TEST_F(Config, ANetworkFileThatWasChangedIsRefused) {
  const std::string good = sign_network_file(a_network(), crypto::ed25519_generate(rng_));
  for (size_t i = 0; i < good.size(); i++) {
    std::string bad = good;
    bad[i] = bad[i] == '1' ? '2' : '1';
    EXPECT_FALSE(parse_network_file(bad, "n").ok()) << i;
    EXPECT_FALSE(parse_network_file(good.substr(0, i), "n").ok()) << i;
  }
  EXPECT_FALSE(parse_network_file(good + "pow_bits = 0\n", "n").ok());
  EXPECT_FALSE(parse_network_file(good + good, "n").ok());
}

// As the first release of the format wrote them.
std::string of_version_1(const Network& n, const crypto::SigningKey& key, const std::string& more = "") {
  Network bare = n;
  bare.seeds.clear();
  std::string body = sign_network_file(bare, key);
  body.resize(body.rfind("signature = "));
  body.replace(body.find("version = 2"), 11, "version = 1");
  body.erase(body.find("signed_at"), body.find("name = ") - body.find("signed_at"));
  body.replace(body.find("seeds = []"), 10, "seeds = [\"192.0.2.1:51820\", \"[2001:db8::1]:51820\"]" + more);
  std::vector<uint8_t> message;
  Writer(message).bytes(as_bytes("macrovpn network 1")).bytes(as_bytes(body));
  return body + "signature = \"" + to_base64(crypto::ed25519_sign(key, message)) + "\"\n";
}

TEST_F(Config, ANetworkFileOfVersion1IsReadWithoutItsSeedsAndIsOlderThanAll) {
  const auto key = crypto::ed25519_generate(rng_);
  const std::string text = of_version_1(a_network(), key);
  const auto n = parse_network_file(text, "n");
  ASSERT_TRUE(n) << n.error().message;
  EXPECT_EQ(n->name, a_network().name);
  EXPECT_TRUE(n->seeds.empty());
  EXPECT_EQ(n->signed_at, Wall());
  EXPECT_FALSE(signature_without_seeds(text)) << "its owner signed no such text";
  EXPECT_FALSE(parse_network_file(of_version_1(a_network(), key, "\nsigned_at = 5"), "n").ok());
}

TEST_F(Config, ASeedIsALine) {
  const Seed s = a_network().seeds.front();
  EXPECT_EQ(parse_seed(to_text(s)), s);
  EXPECT_EQ(parse_seed("  " + to_text(s) + " "), s);
  const std::string keys = to_base64(s.identity.bytes) + " " + to_base64(s.wireguard.bytes);
  for (const char* bad : {"", " 192.0.2.1", " 192.0.2.1:5 192.0.2.1:5", " 192.0.2.1:1 192.0.2.1:2 192.0.2.1:3 192.0.2.1:4 192.0.2.1:5", " 192.0.2.1:1\n"})
    EXPECT_FALSE(parse_seed(keys + bad)) << bad;
  EXPECT_FALSE(parse_seed(to_base64(s.identity.bytes) + " 192.0.2.1:1"));
}

TEST_F(Config, SettingsOfTheUserLieUnderThoseOfConfigSet) {
  put("user.toml",
      "[client]\nmode = \"fast\"\nhops = 2\n[relay]\nlisten = [\"192.0.2.1:1\"]\nbandwidth = \"100 "
      "Mbit/s\"\n");
  ASSERT_TRUE(set_setting(path("set.toml"), "client.mode", "balanced").ok());
  ASSERT_TRUE(set_setting(path("set.toml"), "relay.endpoints", "192.0.2.1:1, [2001:db8::1]:2").ok());
  ASSERT_TRUE(set_setting(path("set.toml"), "relay.exit", "true").ok());
  const auto s = load_settings(path("user.toml"), path("set.toml"));
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_EQ(s->mode, controller::Mode::balanced);
  EXPECT_EQ(s->hop_count(), 2u);
  EXPECT_EQ(s->listen.size(), 1u);
  EXPECT_EQ(s->endpoints.size(), 2u);
  EXPECT_TRUE(s->exit);
  EXPECT_EQ(s->bandwidth.bytes_per_second, 12'500'000u);
  EXPECT_EQ(s->values.at("client.mode").source, SettingSource::config_set);
  EXPECT_EQ(s->values.at("client.hops").source, SettingSource::user_file);
  EXPECT_EQ(s->values.at("relay.region").source, SettingSource::built_in);
  EXPECT_EQ(text("user.toml").substr(0, 8), "[client]") << "the user's own file is never written";
}

TEST_F(Config, SettingsWithoutFilesAreTheBuiltInOnes) {
  const auto s = load_settings(path("none"), path("none too"));
  ASSERT_TRUE(s);
  EXPECT_EQ(s->hop_count(), 3u);
  EXPECT_EQ(s->listen.size(), 1u);
  EXPECT_FALSE(s->exit);
}

TEST_F(Config, ComplaintsNameTheLineAndTheNearestSetting) {
  EXPECT_EQ(settings_error("\n[client]\nmod = \"fast\"\n"),
            path("s.toml") + ":3: unknown setting 'client.mod'. Did you mean 'client.mode'?");
  EXPECT_EQ(settings_error("zebra = 1\n"), path("s.toml") + ":1: unknown setting 'zebra'.");
  EXPECT_EQ(settings_error("client.mode = \"quick\"\n"),
            path("s.toml") + ":1: 'client.mode' must be \"fast\", \"balanced\" or \"private\"");
  EXPECT_EQ(settings_error("client.hops = 6\n"),
            path("s.toml") + ":1: 'client.hops' must be a number from 0 to 5");
  EXPECT_EQ(settings_error("client.hops = \"3\"\n"),
            path("s.toml") + ":1: 'client.hops' must be a number from 0 to 5");
  EXPECT_EQ(settings_error("[client]\nhops = 1.5\n"),
            path("s.toml") + ":2: 'client.hops' is of a kind that is not used here");
  EXPECT_NE(settings_error("[relay]\nlisten = [1]\n").find(":2: a list may hold"), std::string::npos);
  EXPECT_NE(settings_error("client.hops = 1\n=\n").find(path("s.toml") + ":2: "), std::string::npos);
}

TEST_F(Config, ConfigSetRefusesWhatTheFileWouldRefuse) {
  EXPECT_FALSE(set_setting(path("set"), "client.hops", "many").ok());
  EXPECT_FALSE(set_setting(path("set"), "relay.exit", "yes").ok());
  EXPECT_FALSE(set_setting(path("set"), "relay.listen", "nowhere").ok());
  EXPECT_NE(set_setting(path("set"), "client.hop", "1").error().message.find("client.hops"),
            std::string::npos);
  EXPECT_FALSE(file_exists(path("set")));
}

TEST(Settings, ReadBandwidthsInTheUsualUnits) {
  EXPECT_EQ(parse_bandwidth("100 Mbit/s")->bytes_per_second, 12'500'000u);
  EXPECT_EQ(parse_bandwidth("12MB/s")->bytes_per_second, 12'000'000u);
  EXPECT_EQ(parse_bandwidth("5000")->bytes_per_second, 5000u);
  for (const char* bad : {"", "fast", "0", "-1", "1 furlong", "99999999999999999999", "1000000000000 GB/s"})
    EXPECT_FALSE(parse_bandwidth(bad)) << bad;
}

}  // namespace
}  // namespace macrovpn::shell
