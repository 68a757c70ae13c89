#include "shell/exit/kernel_exit.h"

#include <net/if.h>
#include <sys/socket.h>

#include <fstream>

#include "shell/exit/world_test.h"

namespace macrovpn::shell {
namespace {

using namespace world;
using routing::ExitVerdict;
using routing::LeaseNumber;

const Endpoint kEcho = at("198.51.100.10:7"), kEcho6 = at("[2001:db8:7::10]:7");

char forwarding() {
  std::ifstream in("/proc/sys/net/ipv4/ip_forward");
  return static_cast<char>(in.get());
}

// Root of the test's own network, which is what the kernel asks for.
class Kernel : public testing::Test {
 protected:
  void SetUp() override {
    if (!refusal().empty()) GTEST_SKIP() << refusal();
    bench = std::make_unique<Bench>(Bench::config(), [](Reactor& reactor, Rng& rng, PacketPool& pool,
                                                        ExitConfig c, ExitBackend::OnPackets f) {
      auto r = KernelExit::create(reactor, rng, pool, std::move(c), std::move(f));
      return r ? Result<std::unique_ptr<ExitBackend>>(std::move(r).value()) : r.failure();
    });
    ASSERT_TRUE(bench->exit) << bench->error;
    ann = &bench->add_client(LeaseNumber{7});
  }
  Fd tcp(int family = AF_INET) { return ann->socket(family, SOCK_STREAM); }
  Fd udp(int family = AF_INET) { return ann->socket(family, SOCK_DGRAM); }
  std::unique_ptr<Bench> bench;
  Client* ann = nullptr;
};

TEST_F(Kernel, CarriesTcpUdpAndPingsOfBothFamilies) {
  for (const Endpoint& to : {kEcho, kEcho6}) {
    const bool v4 = to.address.is_v4();
    const Fd s = tcp(family_of(to.address));
    ASSERT_EQ(bench->connect_tcp(s, to), 0);
    bench->write_all(s, "hello");
    EXPECT_EQ(bench->read_all(s, 5), "hello");
    EXPECT_EQ(bench->ask_udp(udp(family_of(to.address)), to, "ping"), "ping");
    // The answer to the first tells an IPv6 server the path's MTU, as on any path.
    bench->ask_udp(udp(family_of(to.address)), to, std::string(4000, 'x'), 300ms);
    EXPECT_EQ(bench->ask_udp(udp(family_of(to.address)), to, std::string(4000, 'x')).size(), 4000u);
    const Fd p = ann->socket(family_of(to.address), SOCK_DGRAM, v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
    EXPECT_EQ(
        bench->ask_udp(p, {to.address, 0}, {v4 ? "\x08\0\0\0\0\0\0\1hi" : "\x80\0\0\0\0\0\0\1hi", 10}).size(),
        10u);
  }
}

TEST_F(Kernel, DownloadsWithinALeasesMtu) {
  bench->exit->set_mtu(LeaseNumber{7}, 1000);
  const Fd s = tcp();
  ASSERT_EQ(bench->connect_tcp(s, at("198.51.100.10:9")), 0);
  EXPECT_EQ(bench->read_all(s, 33 << 20, 60s).size(), size_t{32} << 20);
}

TEST_F(Kernel, SaysWhatIsClosedAndAnswersNames) {
  EXPECT_EQ(bench->connect_tcp(tcp(), at("198.51.100.10:4")), ECONNREFUSED);
  EXPECT_EQ(bench->udp_error(udp(), at("198.51.100.10:4")), ECONNREFUSED);
  EXPECT_EQ(bench->udp_error(udp(AF_INET6), at("[2001:db8:7::10]:4")), ECONNREFUSED);
  const std::vector<IpAddress> good{kEcho.address};
  EXPECT_EQ(bench->resolve(*ann, "mixed.test", routing::kDnsA, at("10.10.0.1:53")), good);
  EXPECT_EQ(bench->connect_tcp(tcp(), at("10.10.0.1:53")), ECONNREFUSED);
}

TEST_F(Kernel, LetsNothingIntoDeniedPlaces) {
  const Fd host = open_socket(AF_INET, SOCK_STREAM);
  const SocketAddress any(Endpoint{IpAddress(), 7});
  ASSERT_EQ(bind(host.get(), any.data(), any.size), 0);
  ASSERT_EQ(listen(host.get(), 8), 0);
  for (const char* to : {"10.1.2.3:7", "192.0.2.1:7", "192.0.2.2:7", "203.0.113.20:7", "10.10.3.3:7",
                         "100.64.0.9:7", "198.51.100.10:25", "169.254.9.1:7"}) {
    if (at(to).address.bytes()[0] == 169) continue;
    EXPECT_NE(bench->connect_tcp(tcp(), at(to)), 0) << to;
  }
  EXPECT_LT(accept(host.get(), nullptr, nullptr), 0);
  uint64_t denied = 0;
  for (const uint64_t n : bench->exit->counters().denied) denied += n;
  EXPECT_GE(denied, 7u);
}

// Port shadowing (CVE-2021-3773): a client sends from the port that a service of the host has, to somebody who uses that
// service; were the port kept, that somebody's packets would look like answers and go to the client.
TEST_F(Kernel, AClientCannotShadowAPortOfTheHost) {
  const Fd service = open_socket(AF_INET, SOCK_DGRAM);
  const SocketAddress here(at("192.0.2.1:51820"));
  ASSERT_EQ(bind(service.get(), here.data(), here.size), 0);
  const Fd attacker = udp();
  const SocketAddress same_port(at("10.10.0.2:51820"));
  ASSERT_EQ(bind(attacker.get(), same_port.data(), same_port.size), 0);
  bench->ask_udp(attacker, at("198.51.100.10:9"), "mine", 100ms);
  // The service speaks to port 8, which answers from 8 and from 9.
  EXPECT_EQ(bench->ask_udp(service, at("198.51.100.10:8"), "yours"), "yours");
  char b[16];
  EXPECT_TRUE(bench->until([&] { return recv(service.get(), b, sizeof b, 0) == 5; }));
  EXPECT_LT(recv(attacker.get(), b, sizeof b, 0), 0);
}

TEST_F(Kernel, IsNotMadeForARelayThatListensWhereClientsSendFrom) {
  ExitConfig c = Bench::config();
  c.listen_port = 61000;
  const auto made = KernelExit::create(bench->reactor, bench->rng, bench->pool, c, [](std::span<Packet>) {});
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("--listen"), std::string::npos);
}

TEST_F(Kernel, AClientCannotTakeTheAnswersOfAnother) {
  Client& bob = bench->add_client(LeaseNumber{8});
  const Fd a = udp(), b = bob.socket(AF_INET, SOCK_DGRAM);
  for (const Fd* s : {&a, &b}) {
    const SocketAddress same(at("10.10.0.2:4444"));
    ASSERT_EQ(bind(s->get(), same.data(), same.size), 0);
  }
  EXPECT_EQ(bench->ask_udp(a, kEcho, "for ann"), "for ann");
  EXPECT_EQ(bench->ask_udp(b, kEcho, "for bob"), "for bob");
  EXPECT_EQ(bench->ask_udp(a, kEcho, "ann again"), "ann again");
  char c;
  EXPECT_LT(recv(b.get(), &c, 1, 0), 0);
}

TEST_F(Kernel, LeavesNothingBehind) {
  const std::string name = static_cast<KernelExit&>(*bench->exit).device_name();
  EXPECT_TRUE(run_tool({"nft", "list", "table", "inet", "macrovpn_" + name}, ""));
  EXPECT_EQ(forwarding(), '1');
  bench.reset();
  EXPECT_FALSE(run_tool({"nft", "list", "table", "inet", "macrovpn_" + name}, ""));
  EXPECT_EQ(if_nametoindex(name.c_str()), 0u);
  EXPECT_EQ(forwarding(), '0');
}

TEST_F(Kernel, RemovesWhatADeadRunLeft) {
  ASSERT_TRUE(run_nft("table inet macrovpn_mvexit9 { chain c { type filter hook input priority 0; }\n}\n"));
  Bench second(Bench::config(),
               [](Reactor& reactor, Rng& rng, PacketPool& pool, ExitConfig c, ExitBackend::OnPackets f) {
                 auto r = KernelExit::create(reactor, rng, pool, std::move(c), std::move(f));
                 return r ? Result<std::unique_ptr<ExitBackend>>(std::move(r).value()) : r.failure();
               });
  EXPECT_FALSE(run_tool({"nft", "list", "table", "inet", "macrovpn_mvexit9"}, ""));
  EXPECT_TRUE(run_tool({"nft", "list", "table", "inet", "macrovpn_mvexit0"}, ""));  // of a living one
}

}  // namespace
}  // namespace macrovpn::shell
