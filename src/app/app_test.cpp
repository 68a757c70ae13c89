// The program as a whole: what a person types, what comes back.  Each test has a folder of its own.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "shell/fd.h"
#include "shell/region/mmdb_writer_test.h"

namespace macrovpn::app {
namespace {

using nlohmann::json;

class App : public ::testing::Test {
 protected:
  App() {
    char name[] = "/tmp/mv-app-XXXXXX";
    dir_ = mkdtemp(name);
  }
  ~App() override { std::filesystem::remove_all(dir_); }
  struct Answer {
    int status = -1;
    std::string out, err;
  };
  Answer run(const std::string& arguments, const std::string& state = "one") const {
    const std::string command = std::string(MACROVPN_PROGRAM) + " --state " + dir_ + "/" + state + " " +
                                arguments + " >" + dir_ + "/out 2>" + dir_ + "/err </dev/null";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text("out"), text("err")};
  }
  std::string text(const std::string& name) const {
    std::stringstream s;
    s << std::ifstream(dir_ + "/" + name).rdbuf();
    return s.str();
  }
  std::string dir_;
};

TEST_F(App, HelpTeaches) {
  const Answer help = run("--help");
  EXPECT_EQ(help.status, 0);
  for (const char* part : {"macrovpn run -- curl", "Exit status", "relay", "no public network yet"})
    EXPECT_NE(help.out.find(part), std::string::npos) << part;
  for (const char* command : {"run", "proxy", "relay", "daemon", "status", "peers", "hop", "key", "network", "descriptor",
                              "device", "device add", "config", "doctor", "version"})
    EXPECT_EQ(run(std::string(command) + " --help").status, 0) << command;
  EXPECT_EQ(run("").status, 2);
  EXPECT_EQ(run("dance").status, 2);
  EXPECT_EQ(run("status -- x").status, 2);
}

TEST_F(App, AnInviteLinkIsEnoughToJoin) {
  const auto line = [](std::string s) { return s.substr(0, s.find('\n')); };
  const std::string seed = line(run("network seed --endpoint 198.51.100.7:51820", "relay").out);
  ASSERT_EQ(run("network init --lab --name ours --seed '" + seed + "'", "owner").status, 0) << text("err");
  const Answer shown = run("network show --json", "owner");
  EXPECT_EQ(json::parse(shown.out).at("seeds"), json::array({seed}));
  const std::string link = line(run("network invite", "owner").out);
  ASSERT_TRUE(link.starts_with("macrovpn:")) << text("err");
  EXPECT_EQ(run("network join " + link, "two").status, 0) << text("err");
  EXPECT_EQ(json::parse(run("network show --json", "two").out).at("id"), json::parse(shown.out).at("id"));
  EXPECT_EQ(line(text("two/invited")), seed) << "the relay that the link named";
  const std::string second = line(run("network invite", "two").out);
  EXPECT_EQ(run("network join " + second, "three").status, 0) << "who was invited may invite";

  const Answer cut = run("network join " + link.substr(0, link.size() - 20), "four");
  EXPECT_EQ(cut.status, 1);
  EXPECT_NE(cut.err.find("cut off"), std::string::npos) << cut.err;
  EXPECT_EQ(run("network show", "four").status, 4) << "nothing was left behind";
  const std::string qr = run("network invite --qr", "owner").out;
  EXPECT_NE(qr.find("\u2580"), std::string::npos);
}

TEST_F(App, ANetworkFileThatWasSignedLaterCounts) {
  ASSERT_EQ(run("network init --lab", "owner").status, 0);
  const std::string file = dir_ + "/owner/network.toml", old = dir_ + "/old.toml";
  std::filesystem::copy_file(file, old);
  ASSERT_EQ(run("network join " + old, "two").status, 0);
  const std::string seed = run("network seed --endpoint 198.51.100.7:51820", "relay").out;
  ASSERT_EQ(run("network sign --add-seed '" + seed.substr(0, seed.size() - 1) + "'", "owner").status, 0) << text("err");
  const auto seeds = [&] { return json::parse(run("network show --json", "two").out).at("seeds").size(); };
  EXPECT_EQ(seeds(), 0u);
  EXPECT_EQ(run("network join " + file, "two").status, 0);
  EXPECT_EQ(seeds(), 1u);
  EXPECT_NE(run("network join " + old, "two").out.find("newer"), std::string::npos);
  EXPECT_EQ(seeds(), 1u);
  const std::string link = run("network invite", "owner").out;
  EXPECT_EQ(run("network join " + link.substr(0, link.size() - 1), "two").status, 0);
  EXPECT_EQ(seeds(), 1u) << "the same rules without seeds are no news";
  EXPECT_EQ(run("network sign --remove-seed " + seed.substr(0, 10), "owner").status, 0) << text("err");
  EXPECT_EQ(run("network sign", "two").status, 1) << "without the key";
}

TEST_F(App, AFreshInstallSaysThatThereIsNoNetwork) {
  for (const char* command :
       {"status", "daemon", "relay", "run -- true", "proxy", "network show", "descriptor list", "device add phone", "device list",
        "device remove phone", "peers"}) {
    const Answer a = run(command);
    EXPECT_EQ(a.status, 4) << command;
    EXPECT_NE((a.out + a.err).find("No network yet: paste an invite or make one"), std::string::npos)
        << command;
  }
  EXPECT_EQ(json::parse(run("status --json").out).at("state"), "off");
}

TEST_F(App, PrintsTheNoticeOfAnExit) {
  const Answer plain = run("relay notice --contact 'me <me@example.org>'");
  EXPECT_EQ(plain.status, 0);
  EXPECT_NE(plain.out.find("me <me@example.org>"), std::string::npos);
  const Answer html = run("relay notice --html --contact 'me <me@example.org>'");
  EXPECT_NE(html.out.find("me &lt;me@example.org&gt;"), std::string::npos) << "nothing that was typed becomes markup";
  EXPECT_NE(html.out.find("<!doctype html>"), std::string::npos);
}

TEST_F(App, DoctorSaysWhatItDidNotTest) {
  const json all = json::parse(run("doctor --offline --json").out);
  std::map<std::string, json> by;
  for (const json& f : all) {
    EXPECT_TRUE(f.at("check").is_string() && f.at("text").is_string() && f.at("ok").is_boolean());
    EXPECT_EQ(f.at("ok").get<bool>(), f.at("verdict") != "PROBLEM");
    by[f.at("check")] = f;
  }
  EXPECT_EQ(by.at("Internet").at("verdict"), "untested");
  EXPECT_EQ(by.at("clock").at("verdict"), "untested") << "there is no network to compare it with";
  EXPECT_EQ(by.at("network").at("verdict"), "PROBLEM");
  EXPECT_FALSE(by.contains("UDP") || by.contains("NAT") || by.contains("DNS"));
  const Answer people = run("doctor --offline");
  EXPECT_EQ(people.status, 1) << "no network is a problem";
  EXPECT_NE(people.out.find("untested  Internet"), std::string::npos) << people.out;
  EXPECT_EQ(run("doctor --stun nonsense").status, 1);
}

TEST_F(App, MakesANetworkThatAnotherJoins) {
  ASSERT_EQ(run("network init --lab --name 'our lab'").status, 0);
  EXPECT_EQ(run("network init --lab").status, 1) << "never overwritten";
  const json made = json::parse(run("network show --json").out);
  EXPECT_EQ(made.at("name"), "our lab");
  EXPECT_EQ(made.at("lab"), true);
  ASSERT_EQ(run("network add " + dir_ + "/one/network.toml", "two").status, 0);
  EXPECT_EQ(json::parse(run("network show --json", "two").out), made);
  ASSERT_EQ(run("network init --lab", "three").status, 0);
  EXPECT_NE(run("network add " + dir_ + "/three/network.toml", "two").err.find("networks never mix"),
            std::string::npos);
  EXPECT_EQ(run("status").status, 3);
}

TEST_F(App, MovesKeysByABackup) {
  std::ofstream(dir_ + "/words") << "four words are enough\n";
  const std::string words = " --passphrase-file " + dir_ + "/words";
  const json keys = json::parse(run("key show --json").out);
  ASSERT_EQ(run("key backup " + dir_ + "/b" + words).status, 0);
  ASSERT_EQ(run("key restore " + dir_ + "/b" + words, "two").status, 0);
  EXPECT_EQ(json::parse(run("key show --json", "two").out).at("id"), keys.at("id"));
  EXPECT_EQ(run("key restore " + dir_ + "/b" + words, "two").status, 1) << "never overwritten";
  EXPECT_EQ(text("b").find(keys.at("identity").get<std::string>()), std::string::npos);
}

TEST_F(App, KeepsSettings) {
  ASSERT_EQ(run("config set client.mode balanced").status, 0);
  EXPECT_EQ(run("config get client.mode").out, "balanced\n");
  EXPECT_EQ(json::parse(run("config get --json").out).at("client.mode").at("source"), "config set");
  EXPECT_NE(run("config get client.mod").err.find("Did you mean 'client.mode'"), std::string::npos);
  std::ofstream(dir_ + "/one/settings.toml") << "[client]\nmode = 3\n";
  EXPECT_NE(run("config get").err.find("settings.toml:2: 'client.mode' must be"), std::string::npos);
}

TEST_F(App, AnExitNeedsConsent) {
  ASSERT_EQ(run("network init --lab").status, 0);
  const Answer a = run("relay --listen 127.0.0.1:" + std::to_string(20000 + getpid() % 20000) +
                       " --endpoint 192.0.2.1:51820 --exit");
  EXPECT_EQ(a.status, 5);
  EXPECT_NE(a.err.find("--accept-exit-risk"), std::string::npos);
}

TEST_F(App, CommandsWithoutADaemonSaySo) {
  ASSERT_EQ(run("network init --lab").status, 0);
  for (const char* command : {"hop", "daemon --stop"}) {
    EXPECT_EQ(run(command).status, 3) << command;
    EXPECT_NE(run(command).err.find("no macrovpn daemon is running"), std::string::npos) << command;
  }
}

// Its lock is what tells that a daemon has ended: whoever gets it must not find files that are still being written.
TEST_F(App, ADaemonThatHasEndedWritesNothing) {
  ASSERT_EQ(run("network init --lab").status, 0);
  for (int i = 0; i < 10; i++) {
    ASSERT_EQ(std::system((std::string(MACROVPN_PROGRAM) + " --state " + dir_ + "/one daemon 2>/dev/null &").c_str()), 0);
    int tries = 0;
    while (run("status").status == 3 && tries++ < 200) usleep(20'000);
    ASSERT_TRUE(std::filesystem::exists(dir_ + "/one/directory.db-wal"));
    const shell::Fd lock(open((dir_ + "/one/run/control.sock.lock").c_str(), O_RDWR | O_CLOEXEC));
    std::jthread stop([&] { EXPECT_EQ(run("daemon --stop").status, 0); });
    ASSERT_EQ(flock(lock.get(), LOCK_EX), 0);
    EXPECT_FALSE(std::filesystem::exists(dir_ + "/one/directory.db-wal")) << i;
    flock(lock.get(), LOCK_UN);
  }
}

// A relay publishes its descriptor, which others verify; a daemon without relays protects nothing and starts
// no program.
TEST_F(App, ARelayPublishesADescriptorThatOthersAdd) {
  ASSERT_EQ(run("network init --lab").status, 0);
  ASSERT_EQ(run("network add " + dir_ + "/one/network.toml", "two").status, 0);
  const std::string relay = std::string(MACROVPN_PROGRAM) + " --state " + dir_ +
                            "/one relay --listen 127.0.0.1:" + std::to_string(20000 + getpid() % 20000) +
                            " --endpoint 192.0.2.1:51820 --region NO 2>/dev/null &";
  ASSERT_EQ(std::system(relay.c_str()), 0);
  int tries = 0;
  while (run("descriptor export " + dir_ + "/d").status != 0 && tries++ < 200) usleep(20'000);
  EXPECT_EQ(json::parse(run("status --json").out).at("relay").at("exit"), false);
  EXPECT_EQ(run("daemon --stop").status, 0);
  EXPECT_EQ(run("descriptor add " + dir_ + "/d", "two").status, 0);
  const json list = json::parse(run("descriptor list --json", "two").out);
  ASSERT_EQ(list.at("relays").size(), 1u);
  EXPECT_EQ(list["relays"][0].at("region"), "NO");
  EXPECT_EQ(list["relays"][0].at("id"), json::parse(run("key show --json").out).at("id"));
  const json peers = json::parse(run("peers --json", "two").out);
  EXPECT_EQ(peers.at("matched"), 1);
  const json peer = peers.at("peers").at(0);
  EXPECT_EQ(peer.at("region"), (json{{"code", "NO"}, {"is", "claimed"}})) << "nobody looked";
  EXPECT_EQ(peer.at("price"), (json{{"free", true}}));
  EXPECT_FALSE(peer.contains("seen"));
  const std::string line = run("peers", "two").out;
  EXPECT_TRUE(line.starts_with(peer.at("id").get<std::string>().substr(0, 8) + "\tNO claimed\t-\t-\tfree\tguard,middle\t0 d\t-\tnot used yet\n")) << line;
  shell::MmdbWriter countries;
  countries.add(*IpPrefix::parse("192.0.2.0/24"), "SE");
  countries.write(dir_ + "/two/country.mmdb");
  EXPECT_EQ(json::parse(run("peers --json", "two").out).at("peers").at(0).at("region"), (json{{"code", "NO"}, {"is", "claimed"}, {"database", "SE"}}));
  EXPECT_NE(run("peers", "two").out.find("\tNO claimed, by address SE\t"), std::string::npos);
  std::filesystem::remove(dir_ + "/two/country.mmdb");
  EXPECT_EQ(run("peers --exit", "two").out, "");
  EXPECT_EQ(run("peers --region SE", "two").out, "");
  EXPECT_EQ(run("peers --region NO --verified", "two").out, "");
  EXPECT_EQ(run("peers --max-latency 50", "two").out, "");
  EXPECT_EQ(run("peers --max-latency 50 --unseen", "two").out, line);
  EXPECT_EQ(run("peers --region Norway", "two").status, 1);
  EXPECT_EQ(run("peers --sort beauty", "two").status, 2);
  std::ofstream(dir_ + "/d", std::ios::app) << "x";
  EXPECT_EQ(run("descriptor add " + dir_ + "/d", "two").status, 1);
}

TEST_F(App, RunStartsADaemonAndNoProgramWithoutProtection) {
  ASSERT_EQ(run("network init --lab").status, 0);
  const Answer a = run("run --wait 1 -- touch " + dir_ + "/ran");
  if (a.err.find("user namespaces") != std::string::npos) GTEST_SKIP() << a.err;
  EXPECT_EQ(a.status, 125) << a.err;
  EXPECT_NE(a.err.find("one was started in the background"), std::string::npos) << a.err;
  EXPECT_NE(a.err.find("Not protected"), std::string::npos) << a.err;
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/ran"));
  EXPECT_EQ(run("run --wait 0 -- sh -c 'exit 7'").status, 7) << "the daemon runs on";
  EXPECT_EQ(run("run --wait 0 -- /no/such/program").status, 127);
  EXPECT_EQ(run("run --wait 0 sh -c 'exit 8'").status, 8) << "without dashes";
  EXPECT_EQ(run("daemon --stop").status, 0);
}

}  // namespace
}  // namespace macrovpn::app
