#include "shell/box/box.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "shell/box/privacy_mounts.h"
#include "shell/box/supervisor.h"
#include "shell/control/server.h"

namespace macrovpn::shell {
namespace {

class BoxTest : public ::testing::TestWithParam<PacketDevice::Kind> {
 protected:
  BoxTest() {
    char name[] = "/tmp/mv-box-XXXXXX";
    dir_ = mkdtemp(name);
    std::filesystem::create_directory(dir_ + "/run");
    std::ofstream(dir_ + "/run/control.sock") << "x";
  }
  ~BoxTest() override { std::filesystem::remove_all(dir_); }

  Result<Box> make(const std::string& script) {
    return Box::create({{"sh", "-c", script}, {dir_ + "/run"}, 1376, GetParam()});
  }
  // What a script prints in a box; skips where the system has no such device.
  std::string output_of(const std::string& script) {
    auto box = make("exec >" + dir_ + "/out 2>&1; " + script);
    if (!box) {
      skipped_ = box.error().message;
      return "";
    }
    EXPECT_TRUE(box->start().ok());
    int status = 0;
    waitpid(box->pid(), &status, 0);
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    std::stringstream out;
    out << std::ifstream(dir_ + "/out").rdbuf();
    return out.str();
  }
  bool unavailable() const {
    return skipped_.find("/dev/net/tun") != std::string::npos ||
           skipped_.find("user namespaces") != std::string::npos;
  }

  std::string dir_, skipped_;
  int status_ = -1;
};

#define OUTPUT_OR_SKIP(variable, script)          \
  const std::string variable = output_of(script); \
  if (unavailable()) GTEST_SKIP() << skipped_;    \
  ASSERT_EQ(skipped_, "")

TEST_P(BoxTest, HasLoopbackAndItsDeviceOnly) {
  OUTPUT_OR_SKIP(out, "tail -n +3 /proc/self/net/dev | cut -d: -f1 | tr -d ' ' | sort | tr '\\n' ' '");
  EXPECT_EQ(out, GetParam() == PacketDevice::Kind::tun ? "lo mv0 " : "lo mv0 mv0p ");
}

TEST_P(BoxTest, HasTheInsideAddressesAndRoutesOfEverybody) {
  OUTPUT_OR_SKIP(out,
                 "PATH=$PATH:/usr/sbin:/sbin; ip -o addr show dev mv0; ip -o link show dev mv0; ip -o route; "
                 "ip -o -6 route");
  for (const char* part : {"inet 10.10.0.2/16", "inet6 fd86:ea04:1115::2/64", "mtu 1376", "default dev mv0"})
    EXPECT_NE(out.find(part), std::string::npos) << part << "\n" << out;
  EXPECT_EQ(out.find("fe80"), std::string::npos) << "no address of the kernel's own making\n" << out;
  EXPECT_EQ(out.find("via"), std::string::npos) << out;
}

TEST_P(BoxTest, ResolvesNamesThroughTheTunnelOnly) {
  OUTPUT_OR_SKIP(out, "cat /etc/resolv.conf; grep hosts: /etc/nsswitch.conf");
  EXPECT_EQ(out.substr(0, out.find("hosts:")), "nameserver 10.10.0.1\nnameserver fd86:ea04:1115::1\n");
  const bool replaced = out.find("hosts: files dns\n") != std::string::npos;
  EXPECT_EQ(replaced, std::filesystem::exists("/etc/nsswitch.conf")) << out;
}

TEST_P(BoxTest, HidesTheDaemonAndTheResolversOfTheHost) {
  OUTPUT_OR_SKIP(
      out, "ls -A " + dir_ +
               "/run; for d in nscd systemd/resolve avahi-daemon dbus; do ls -A /run/$d 2>/dev/null; done; "
               "ls /tmp | grep -c '^resolv.conf$'");
  std::string left = out;
  // systemd-resolved's folder holds the file that /etc/resolv.conf may lead to.
  for (const char* known : {"stub-resolv.conf\n", "resolv.conf\n"})
    if (const size_t at = left.find(known); at != std::string::npos)
      left.erase(at, std::string(known).size());
  EXPECT_EQ(left, "0\n");
  EXPECT_TRUE(std::filesystem::exists(dir_ + "/run/control.sock")) << "outside it is as it was";
}

TEST_P(BoxTest, LeavesNoCapability) {
  OUTPUT_OR_SKIP(out,
                 "grep ^Cap /proc/self/status; id -u; PATH=$PATH:/usr/sbin:/sbin; ip link set mv0 down && "
                 "echo reconfigured; "
                 "umount /etc/resolv.conf 2>/dev/null && echo unmounted; nsenter --net=/proc/1/ns/net true "
                 "2>/dev/null && echo left; true");
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
    EXPECT_NE(out.find(std::string(set) + ":\t0000000000000000\n"), std::string::npos) << out;
  EXPECT_NE(out.find("\n" + std::to_string(geteuid()) + "\n"), std::string::npos) << "the user is the same";
  for (const char* bad : {"reconfigured", "unmounted", "left"})
    EXPECT_EQ(out.find(bad), std::string::npos) << out;
}

TEST_P(BoxTest, SendsWhatTheProgramSendsToUs) {
  auto box = Box::create({{"bash", "-c", "echo hello >/dev/udp/192.0.2.9/9"}, {}, 1376, GetParam()});
  if (!box) {
    skipped_ = box.error().message;
    ASSERT_TRUE(unavailable()) << skipped_;
    GTEST_SKIP() << skipped_;
  }
  ASSERT_TRUE(box->start().ok());
  PacketPool pool;
  std::vector<Packet> packets;
  for (int i = 0; i < 50 && packets.empty(); i++) {
    pollfd p{box->device().fd(), POLLIN, 0};
    poll(&p, 1, 100);
    box->device().read_packets(pool, packets, 8);
  }
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_TRUE(equal(packets[0].bytes().subspan(12, 4), ByteArray<4>{10, 10, 0, 2}));
  EXPECT_TRUE(equal(packets[0].bytes().subspan(16, 4), ByteArray<4>{192, 0, 2, 9}));
  waitpid(box->pid(), nullptr, 0);
}

TEST_P(BoxTest, SaysWhenThereIsNoSuchProgram) {
  auto box = Box::create({{"/usr/bin/mv-no-such-program"}, {}, 1376, GetParam()});
  if (!box) GTEST_SKIP() << box.error().message;
  EXPECT_FALSE(box->start().ok());
  EXPECT_EQ(box->exec_errno(), ENOENT);
}

INSTANTIATE_TEST_SUITE_P(Both, BoxTest, testing::Values(PacketDevice::Kind::tun, PacketDevice::Kind::veth));

// The supervisor in a child process of its own, as it catches signals; its result is the child's exit status.
class Supervisor : public ::testing::Test {
 protected:
  Supervisor() {
    char name[] = "/tmp/mv-super-XXXXXX";
    dir_ = mkdtemp(name);
  }
  ~Supervisor() override { std::filesystem::remove_all(dir_); }
  pid_t run(const std::string& script) {
    const pid_t child = fork();
    if (child != 0) return child;
    auto box = Box::create({{"sh", "-c", script}, {}, 1376, {}});
    if (!box) _exit(99);
    Attachment attachment(dir_ + "/control.sock", "default", box->device());
    if (attachment.attach().ok() != std::filesystem::exists(dir_ + "/control.sock")) _exit(98);
    const auto signals = catch_signals();
    if (!signals || !box->start()) _exit(97);
    usleep(between_start_and_watch_us);
    _exit(supervise(*box, attachment, *signals));
  }
  static int status_of(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  bool boxes_work() { return status_of(run("true")) == 0; }
  bool appears(const std::string& name, int n = 1000) const {
    for (int i = 0; i < n; i++) {
      if (std::filesystem::exists(dir_ + "/" + name)) return true;
      usleep(10'000);
    }
    return false;
  }
  std::string dir_;
  useconds_t between_start_and_watch_us = 0;
};

TEST_F(Supervisor, ReturnsTheStatusOfTheProgram) {
  if (!boxes_work()) GTEST_SKIP() << "no namespaces here";
  EXPECT_EQ(status_of(run("exit 7")), 7);
  EXPECT_EQ(status_of(run("kill -9 $$")), 128 + 9);
}

TEST_F(Supervisor, PassesSignalsOn) {
  if (!boxes_work()) GTEST_SKIP() << "no namespaces here";
  const pid_t pid = run("trap 'exit 5' TERM; touch " + dir_ + "/ready; while :; do sleep 0.05; done");
  ASSERT_TRUE(appears("ready"));
  kill(pid, SIGTERM);
  EXPECT_EQ(status_of(pid), 5);
}

TEST_F(Supervisor, PassesOnASignalThatCameRightAfterTheStart) {
  if (!boxes_work()) GTEST_SKIP() << "no namespaces here";
  between_start_and_watch_us = 300'000;
  const pid_t pid = run("trap 'exit 5' TERM; touch " + dir_ + "/ready; while :; do sleep 0.05; done");
  ASSERT_TRUE(appears("ready"));
  kill(pid, SIGTERM);
  EXPECT_EQ(status_of(pid), 5);
}

TEST_F(Supervisor, GivesTheDeviceToADaemonThatWasRestarted) {
  if (!boxes_work()) GTEST_SKIP() << "no namespaces here";
  const auto serve_one = [&](const std::string& mark) {
    const pid_t daemon = fork();
    if (daemon != 0) return daemon;
    Reactor reactor;
    const auto only = control::lock_daemon(dir_ + "/control.sock");
    auto server = control::Server::listen(reactor, dir_ + "/control.sock");
    if (!only || !server) _exit(1);
    (*server)->on("attach", [&](control::Request& r) -> Result<nlohmann::json> {
      const Fd fd = r.take_fd();
      const auto state = from_hex(r.params.at("device").get<std::string>());
      if (!PacketDevice::decode(Fd(dup(fd.get())), *state)) return fail("no device");
      // Once the answer has gone: who sees the mark may kill us.
      reactor.after(Duration::zero(), [&] { std::ofstream(dir_ + "/" + mark) << "x"; });
      return nlohmann::json::object();
    });
    reactor.run();
    _exit(0);
  };
  const pid_t first = serve_one("first");
  ASSERT_TRUE(appears("control.sock"));
  const pid_t pid = run("while ! test -e " + dir_ + "/done; do sleep 0.05; done");
  ASSERT_TRUE(appears("first"));
  kill(first, SIGKILL);
  waitpid(first, nullptr, 0);
  const pid_t second = serve_one("second");
  EXPECT_TRUE(appears("second"));
  std::ofstream(dir_ + "/done") << "x";
  EXPECT_EQ(status_of(pid), 0);
  kill(second, SIGKILL);
  waitpid(second, nullptr, 0);
}

TEST(Nsswitch, LosesItsHostsLineOnly) {
  EXPECT_EQ(with_plain_hosts_line(
                "passwd: files\nhosts: files mdns4 resolve [!UNAVAIL=return] dns\nnetworks: files"),
            "passwd: files\nnetworks: files\nhosts: files dns\n");
  EXPECT_EQ(with_plain_hosts_line(" \thosts:x\n#hosts: y\n"), "#hosts: y\nhosts: files dns\n");
  EXPECT_EQ(with_plain_hosts_line(""), "hosts: files dns\n");
}

}  // namespace
}  // namespace macrovpn::shell
