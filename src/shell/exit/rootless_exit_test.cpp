#include "shell/exit/rootless_exit.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <dirent.h>

#include "core/routing/ip_reply.h"
#include "shell/clock.h"
#include "shell/exit/world_test.h"

namespace macrovpn::shell {
namespace {

using namespace world;
using routing::ExitVerdict;
using routing::LeaseNumber;

const Endpoint kEcho = at("198.51.100.10:7"), kEcho6 = at("[2001:db8:7::10]:7");
const Endpoint kDns = at("10.10.0.1:53"), kDns6 = at("[fd86:ea04:1115::1]:53");

size_t open_descriptors() {
  size_t n = 0;
  DIR* d = opendir("/proc/self/fd");
  while (readdir(d) != nullptr) n++;
  closedir(d);
  return n;
}

class Rootless : public testing::TestWithParam<std::optional<PacketDevice::Kind>> {
 protected:
  void SetUp() override {
    if (!refusal().empty()) GTEST_SKIP() << refusal();
    start(Bench::config());
  }
  void start(ExitConfig config) {
    config.device = GetParam();
    bench.reset();
    bench = std::make_unique<Bench>(
        config, [](Reactor& r1, Rng& rng, PacketPool& pool, ExitConfig c, ExitBackend::OnPackets f) {
          auto r = RootlessExit::create(r1, rng, pool, std::move(c), std::move(f));
          return r ? Result<std::unique_ptr<ExitBackend>>(std::move(r).value()) : r.failure();
        });
    ASSERT_TRUE(bench->exit) << bench->error;
    ann = &bench->add_client(LeaseNumber{7});
  }
  void TearDown() override {
    if (!HasFailure() || !bench || !bench->exit) return;
    const ExitCounters& c = bench->exit->counters();
    const auto* words = reinterpret_cast<const uint64_t*>(&c);
    std::string text;
    for (size_t i = 0; i < sizeof c / sizeof *words; i++) text += " " + std::to_string(words[i]);
    std::printf("counters:%s\n", text.c_str());
  }
  RootlessExit& exit() { return static_cast<RootlessExit&>(*bench->exit); }
  uint64_t denied(ExitVerdict v) { return exit().counters().denied[static_cast<size_t>(v)]; }
  Fd tcp(int family = AF_INET) { return ann->socket(family, SOCK_STREAM); }
  Fd udp(int family = AF_INET) { return ann->socket(family, SOCK_DGRAM); }

  std::unique_ptr<Bench> bench;
  Client* ann = nullptr;
};

TEST_P(Rootless, EchoesTcpOfBothFamiliesAndPassesFinOn) {
  for (const Endpoint& to : {kEcho, kEcho6}) {
    const Fd s = tcp(family_of(to.address));
    ASSERT_EQ(bench->connect_tcp(s, to), 0);
    bench->write_all(s, "hello");
    EXPECT_EQ(bench->read_all(s, 5), "hello");
    EXPECT_EQ(exit().sizes().tcp_flows, 1u);
    shutdown(s.get(), SHUT_WR);
    EXPECT_EQ(bench->read_all(s, 1), "");  // FIN, not RST
    EXPECT_EQ(pending_error(s.get()), 0);
    EXPECT_TRUE(bench->until([&] { return exit().sizes().tcp_flows == 0; }));
  }
}

TEST_P(Rootless, KeepsTheOtherWayOpenAfterAHalfClose) {
  const Fd s = tcp();
  ASSERT_EQ(bench->connect_tcp(s, at("198.51.100.10:11")), 0);
  bench->write_all(s, std::string(100'000, 'x'));
  shutdown(s.get(), SHUT_WR);
  EXPECT_EQ(bench->read_all(s, 6), "100000");
}

TEST_P(Rootless, DownloadsThroughSplice) {
  const Fd s = tcp();
  ASSERT_EQ(bench->connect_tcp(s, at("198.51.100.10:9")), 0);
  const std::string all = bench->read_all(s, 33 << 20, 60s);
  EXPECT_EQ(all.size(), size_t{32} << 20);
  EXPECT_EQ(all.find_first_not_of('d'), std::string::npos);
}

TEST_P(Rootless, MovesDataWithoutAnyPipeToo) {
  ExitConfig c = Bench::config();
  c.limits.pipes = 0;
  start(c);
  const Fd s = tcp();
  ASSERT_EQ(bench->connect_tcp(s, at("198.51.100.10:9")), 0);
  EXPECT_EQ(bench->read_all(s, 33 << 20, 60s).size(), size_t{32} << 20);
}

TEST_P(Rootless, AClosedPortIsRefusedAsWithoutUs) {
  for (const char* to : {"198.51.100.10:4", "[2001:db8:7::10]:4"}) {
    const Fd s = tcp(family_of(at(to).address));
    EXPECT_EQ(bench->connect_tcp(s, at(to)), ECONNREFUSED);
  }
  EXPECT_EQ(exit().counters().tcp_refused, 2u);
  EXPECT_EQ(exit().sizes().tcp_flows, 0u);
}

TEST_P(Rootless, PassesAResetOn) {
  const Fd s = tcp();
  ASSERT_EQ(bench->connect_tcp(s, at("198.51.100.10:10")), 0);
  bench->write_all(s, "x");
  int error = 0;
  EXPECT_TRUE(bench->until([&] { return (error = pending_error(s.get())) != 0; }));
  EXPECT_EQ(error, ECONNRESET);
  // And the other way round.
  Fd other = tcp();
  ASSERT_EQ(bench->connect_tcp(other, kEcho), 0);
  bench->write_all(other, "x");
  EXPECT_EQ(bench->read_all(other, 1), "x");
  close_with_reset(other);
  EXPECT_TRUE(bench->until([&] { return exit().sizes().tcp_flows == 0; }));
  EXPECT_EQ(exit().counters().tcp_broken, 2u);
}

TEST_P(Rootless, AnUnreachablePlaceIsSaidToBeAtOnce) {
  ASSERT_TRUE(run_ip("route add unreachable 203.0.113.99/32\nroute add unreachable 2001:db8:7:9::/64\n"));
  EXPECT_EQ(bench->connect_tcp(tcp(), at("203.0.113.99:80")), EHOSTUNREACH);
  EXPECT_NE(bench->udp_error(udp(), at("203.0.113.99:80")), 0);
  EXPECT_EQ(bench->connect_tcp(tcp(AF_INET6), at("[2001:db8:7:9::1]:80")), EHOSTUNREACH);
  ASSERT_TRUE(run_ip("route del unreachable 203.0.113.99/32\nroute del unreachable 2001:db8:7:9::/64\n"));
}

TEST_P(Rootless, AnExitWithoutIpv6SaysSoAtOnce) {
  ASSERT_TRUE(run_ip6("route del default\n"));
  const Mono before = bench->reactor.now().mono;
  EXPECT_EQ(bench->connect_tcp(tcp(AF_INET6), kEcho6), ENETUNREACH);
  EXPECT_EQ(bench->udp_error(udp(AF_INET6), kEcho6), ENETUNREACH);
  EXPECT_LT(bench->reactor.now().mono - before, 500ms);
  ASSERT_TRUE(run_ip6("route add default via 2001:db8::2\n"));
}

TEST_P(Rootless, EchoesUdpWholeAndInFragments) {
  for (const Endpoint& to : {kEcho, kEcho6}) {
    const Fd s = udp(family_of(to.address));
    EXPECT_EQ(bench->ask_udp(s, to, "hello"), "hello");
    const std::string big(5000, 'b');
    EXPECT_TRUE(bench->ask_udp(s, to, big) == big);
    EXPECT_EQ(bench->ask_udp(s, to, std::string(1376 - 40 - 8, 'c')).size(), 1376u - 48);
  }
  EXPECT_EQ(exit().sizes().udp_ports, 2u);
}

TEST_P(Rootless, UdpIsEndpointIndependent) {
  const Fd s = udp();
  EXPECT_EQ(bench->ask_udp(s, at("198.51.100.10:8"), "one"), "one");
  SocketAddress from;  // the same datagram from another port, which was never spoken to
  char b[16];
  EXPECT_TRUE(bench->until([&] { return recvfrom(s.get(), b, sizeof b, 0, from.data(), &from.size) == 3; }));
  EXPECT_EQ(from.endpoint()->port, 9);
  EXPECT_EQ(bench->ask_udp(s, kEcho, "two"), "two");
  EXPECT_EQ(exit().sizes().udp_ports, 1u);
}

TEST_P(Rootless, AClosedUdpPortIsSaidToBe) {
  EXPECT_EQ(bench->udp_error(udp(), at("198.51.100.10:4")), ECONNREFUSED);
  EXPECT_EQ(bench->udp_error(udp(AF_INET6), at("[2001:db8:7::10]:4")), ECONNREFUSED);
}

TEST_P(Rootless, AnswersPings) {
  for (const Endpoint& to : {kEcho, kEcho6}) {
    const bool v4 = to.address.is_v4();
    const Fd s = ann->socket(family_of(to.address), SOCK_DGRAM, v4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
    ASSERT_TRUE(s);
    const std::string ping = {v4 ? '\x08' : '\x80', 0, 0, 0, 0, 0, 0, 1, 'h', 'i'};
    const std::string reply = bench->ask_udp(s, {to.address, 0}, ping);
    ASSERT_EQ(reply.size(), 10u);
    EXPECT_EQ(reply.substr(8), "hi");
  }
  EXPECT_EQ(exit().counters().pings, 2u);
  EXPECT_EQ(exit().sizes().pings, 2u);
}

TEST_P(Rootless, ResolvesNamesAndHidesPrivateAddresses) {
  using Ips = std::vector<IpAddress>;
  const Ips good4{at("198.51.100.10:1").address}, good6{at("[2001:db8:7::10]:1").address};
  EXPECT_EQ(bench->resolve(*ann, "www.good.test", routing::kDnsA, kDns), good4);
  EXPECT_EQ(bench->resolve(*ann, "www.good.test", routing::kDnsAaaa, kDns6), good6);
  EXPECT_EQ(bench->resolve(*ann, "www.good.test", routing::kDnsA, kDns, SOCK_STREAM), good4);
  EXPECT_EQ(bench->resolve(*ann, "mixed.test", routing::kDnsA, kDns), good4);
  EXPECT_EQ(bench->resolve(*ann, "mixed.test", routing::kDnsAaaa, kDns), good6);
  EXPECT_EQ(bench->resolve(*ann, "no.such.name", routing::kDnsA, kDns), Ips{});
  EXPECT_EQ(bench->resolve(*ann, "printer.local", routing::kDnsA, kDns), Ips{});
  EXPECT_EQ(bench->resolve(*ann, "big.test", routing::kDnsA, kDns), Ips{});  // truncated for UDP ...
  EXPECT_EQ(bench->resolve(*ann, "big.test", routing::kDnsA, kDns, SOCK_STREAM).size(), 120u);
}

TEST_P(Rootless, ADnsAnswerThatChangesToAPrivateAddressLeadsNowhere) {
  bench->resolve(*ann, "rebind.test", routing::kDnsA, kDns);
  EXPECT_TRUE(bench->resolve(*ann, "rebind.test", routing::kDnsA, kDns).empty());
}

TEST_P(Rootless, NeverOpensASocketToADeniedPlace) {
  // All of these would be answered: the internet has these addresses, and the host itself listens.
  const Fd host4 = open_socket(AF_INET, SOCK_STREAM), host_udp = open_socket(AF_INET, SOCK_DGRAM);
  const SocketAddress any(Endpoint{IpAddress(), 7});
  ASSERT_EQ(bind(host4.get(), any.data(), any.size), 0);
  ASSERT_EQ(listen(host4.get(), 8), 0);
  ASSERT_EQ(bind(host_udp.get(), any.data(), any.size), 0);
  const std::pair<const char*, ExitVerdict> cases[] = {
      {"10.1.2.3:7", ExitVerdict::not_global},        {"192.0.2.1:7", ExitVerdict::own_address},
      {"127.0.0.1:7", ExitVerdict::not_global},       {"192.0.2.2:7", ExitVerdict::not_global},
      {"10.10.0.1:7", ExitVerdict::tunnel},           {"10.10.3.3:7", ExitVerdict::tunnel},
      {"100.64.0.9:7", ExitVerdict::tunnel},          {"203.0.113.20:7", ExitVerdict::relay_endpoint},
      {"198.51.100.10:25", ExitVerdict::mail},        {"169.254.9.1:7", ExitVerdict::not_global},
      {"[fd86:ea04:1115::1]:7", ExitVerdict::tunnel}, {"[2001:db8::1]:7", ExitVerdict::own_address}};
  for (const auto& [to, verdict] : cases) {
    if (at(to).address.bytes()[0] == 127 || at(to).address.bytes()[0] == 169)
      continue;  // never leave the client's box
    const uint64_t before = denied(verdict);
    EXPECT_NE(bench->connect_tcp(tcp(family_of(at(to).address)), at(to)), 0) << to;
    EXPECT_GT(denied(verdict), before) << to;
    if (verdict == ExitVerdict::mail) continue;
    EXPECT_EQ(bench->ask_udp(udp(family_of(at(to).address)), at(to), "x", 50ms), "") << to;
  }
  char c;
  EXPECT_LT(recv(host_udp.get(), &c, 1, 0), 0);
  EXPECT_LT(accept(host4.get(), nullptr, nullptr), 0);
  EXPECT_EQ(exit().counters().tcp_opened, 0u);
  EXPECT_EQ(exit().counters().udp_opened, 0u);
}

TEST_P(Rootless, DeniesHandMadePacketsThatNoKernelWouldSend) {
  const LeaseNumber lease{7};
  const auto inject = [&](const char* to, uint16_t port) {
    std::vector<Packet> batch;
    Packet p = bench->pool.take();
    const MutBytes t = routing::start_ip(routing::private_address(lease, at(to).address.family()),
                                         at(to).address, routing::IpProtocol::udp, 9, p);
    store_be16(&t[0], 1000);
    store_be16(&t[2], port);
    store_be16(&t[4], 9);
    routing::finish_ip(p);
    batch.push_back(std::move(p));
    bench->exit->inject(batch);
  };
  for (const char* to : {"127.0.0.1:7", "[::1]:7", "[::ffff:127.0.0.1]:7", "255.255.255.255:7", "224.0.0.1:7",
                         "[ff02::1]:7", "[64:ff9b::7f00:1]:7", "0.0.0.0:7", "100.64.0.7:7"})
    inject(to, 7);
  Packet stranger = bench->pool.take();
  routing::start_ip(at("8.8.8.8:1").address, kEcho.address, routing::IpProtocol::udp, 8, stranger);
  std::vector<Packet> batch;
  batch.push_back(std::move(stranger));
  bench->exit->inject(batch);
  EXPECT_EQ(exit().counters().udp_opened, 0u);
  EXPECT_EQ(denied(ExitVerdict::not_global) + denied(ExitVerdict::tunnel) + denied(ExitVerdict::own_address),
            9u);
  EXPECT_EQ(exit().counters().malformed + exit().counters().wrong_source, 1u);
}

TEST_P(Rootless, HoldsItsBoundsPerLeaseAndInAll) {
  ExitConfig c = Bench::config();
  c.limits.tcp_flows_per_lease = 3;
  c.limits.udp_ports_per_lease = 3;
  c.limits.pings_per_lease = 1;
  c.limits.tcp_flows = c.limits.udp_ports = 4;
  start(c);
  std::vector<Fd> keep;
  for (int i = 0; i < 5; i++) {
    keep.push_back(tcp());
    EXPECT_EQ(bench->connect_tcp(keep.back(), kEcho), i < 3 ? 0 : ECONNREFUSED) << i;
    keep.push_back(udp());
    EXPECT_EQ(bench->ask_udp(keep.back(), kEcho, "x", i < 3 ? 2s : Duration(100ms)), i < 3 ? "x" : "") << i;
  }
  Client& bob = bench->add_client(LeaseNumber{8});
  for (int i = 0; i < 2; i++) {
    keep.push_back(bob.socket(AF_INET, SOCK_STREAM));
    EXPECT_EQ(bench->connect_tcp(keep.back(), kEcho), i < 1 ? 0 : ECONNREFUSED) << i;
  }
  EXPECT_EQ(exit().sizes().tcp_flows, 4u);
  EXPECT_EQ(exit().sizes().udp_ports, 3u);
  EXPECT_EQ(exit().counters().tcp_full, 3u);
}

TEST_P(Rootless, TwoLeasesWithTheSameInsideAddressDoNotMeet) {
  Client& bob = bench->add_client(LeaseNumber{8});
  const Fd a = tcp(), b = bob.socket(AF_INET, SOCK_STREAM);
  for (const Fd* s : {&a, &b}) {
    const SocketAddress same(at("10.10.0.2:4444"));
    ASSERT_EQ(bind(s->get(), same.data(), same.size), 0);
    ASSERT_EQ(bench->connect_tcp(*s, kEcho), 0);
  }
  bench->write_all(a, "for ann");
  bench->write_all(b, "for bob");
  EXPECT_EQ(bench->read_all(a, 7), "for ann");
  EXPECT_EQ(bench->read_all(b, 7), "for bob");
  bench->exit->forget(LeaseNumber{7});
  int error = 0;
  EXPECT_TRUE(bench->until([&] { return (error = pending_error(a.get())) != 0; }));
  EXPECT_EQ(error, ECONNRESET);
  bench->write_all(b, "still here");
  EXPECT_EQ(bench->read_all(b, 10), "still here");
  EXPECT_EQ(exit().sizes().tcp_flows, 1u);
}

TEST_P(Rootless, ClosesIdleFlows) {
  ExitConfig c = Bench::config();
  c.limits.tcp_idle = c.limits.udp_idle = c.limits.ping_idle = 1s;
  start(c);
  const Fd t = tcp(), u = udp();
  ASSERT_EQ(bench->connect_tcp(t, kEcho), 0);
  EXPECT_EQ(bench->ask_udp(u, kEcho, "x"), "x");
  EXPECT_TRUE(
      bench->until([&] { return exit().sizes().tcp_flows == 0 && exit().sizes().udp_ports == 0; }, 8s));
}

TEST_P(Rootless, LeavesNoDescriptorBehind) {
  bench->run_for(20ms);
  const size_t before = open_descriptors();
  {
    std::vector<Fd> keep;
    for (int i = 0; i < 50; i++) {
      keep.push_back(tcp());
      ASSERT_EQ(bench->connect_tcp(keep.back(), kEcho), 0);
      bench->write_all(keep.back(), "x");
    }
    for (const Fd& s : keep) EXPECT_EQ(bench->read_all(s, 1), "x");
    bench->resolve(*ann, "www.good.test", routing::kDnsA, kDns, SOCK_STREAM);
  }
  EXPECT_TRUE(bench->until([&] { return exit().sizes().tcp_flows == 0; }));
  bench->run_for(100ms);
  EXPECT_LE(open_descriptors(), before + 64);  // pipes kept for the next
  bench.reset();
  EXPECT_LT(open_descriptors(), before);
}

// The circuit became narrower while a download runs: the kernel inside hears of it and goes on in smaller pieces.
TEST_P(Rootless, ADownloadGoesOnInANarrowerLease) {
  bench->exit->set_mtu(LeaseNumber{7}, 1376);
  for (const char* server : {"198.51.100.10:9", "[2001:db8:7::10]:9"}) {
    const Endpoint to = at(server);
    const Fd s = tcp(family_of(to.address));
    ASSERT_EQ(bench->connect_tcp(s, to), 0);
    size_t got = bench->read_all(s, 1 << 20).size();
    bench->circuits_carry = 1300;
    bench->run_for(3s);  // its kernel has become patient: it sends again after 2 s and more
    got += bench->read_all(s, 33 << 20, 10ms).size();
    bench->exit->set_mtu(LeaseNumber{7}, 1300);
    const Mono told = read_clocks().mono;
    const size_t next = bench->read_all(s, 1, 5s).size();
    EXPECT_GT(next, 0u);
    EXPECT_LT(read_clocks().mono - told, 200ms) << server;
    got += next + bench->read_all(s, 33 << 20, 10s).size();
    EXPECT_EQ(got, size_t{32} << 20) << server;
    bench->circuits_carry = SIZE_MAX;
    bench->exit->set_mtu(LeaseNumber{7}, 1376);
  }
}

TEST_P(Rootless, ANewConnectionInANarrowLeaseHearsOfItInItsHandshake) {
  bench->exit->set_mtu(LeaseNumber{7}, 1000);
  const Fd s = tcp();
  ASSERT_EQ(bench->connect_tcp(s, kEcho), 0);
  int mss = 0;
  socklen_t n = sizeof mss;
  ASSERT_EQ(getsockopt(s.get(), IPPROTO_TCP, TCP_MAXSEG, &mss, &n), 0);
  EXPECT_LE(mss, 960);
}

// Nobody would believe a smaller size, so that the connection would hang.
TEST_P(Rootless, BelowWhatIpv6NeedsAnIpv6ConnectionEndsAtBothEnds) {
  const Fd s = tcp(AF_INET6);
  ASSERT_EQ(bench->connect_tcp(s, at("[2001:db8:7::10]:9")), 0);
  bench->read_all(s, 1 << 20);
  bench->circuits_carry = 1200;
  bench->run_for(100ms);
  bench->exit->set_mtu(LeaseNumber{7}, 1200);
  char b[65536];
  ssize_t r = 0;
  EXPECT_TRUE(bench->until([&] {
    while ((r = recv(s.get(), b, sizeof b, 0)) > 0) {
    }
    return errno != EAGAIN;
  }));
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_TRUE(bench->until([&] { return exit().sizes().tcp_flows == 0; }));
}

INSTANTIATE_TEST_SUITE_P(Devices, Rootless,
                         testing::Values(std::optional<PacketDevice::Kind>(),
                                         std::optional(PacketDevice::Kind::veth)),
                         [](const auto& i) { return i.param ? "Veth" : "WhatWorks"; });

}  // namespace
}  // namespace macrovpn::shell
