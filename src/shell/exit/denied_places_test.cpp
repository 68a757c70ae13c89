// Every row of the special-purpose registries, in every form, through both kinds of exit: what an exit must deny is
// watched for on its own link to the world, where not one packet may show.
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include "core/routing/ip_reply.h"
#include "model/special_purpose_rows_test.h"
#include "shell/exit/kernel_exit.h"
#include "shell/exit/rootless_exit.h"
#include "shell/exit/world_test.h"

namespace macrovpn::shell {
namespace {

using namespace world;
using routing::IpProtocol;
using routing::LeaseNumber;

constexpr LeaseNumber kLease{7};
const Endpoint kUpstream = at("198.51.100.10:53");

// What leaves this host for the world, counted; questions to the upstream resolver and the kernel's own neighbour
// and multicast chatter excepted.
class Uplink {
 public:
  Uplink() : socket_(open_socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_ALL))) {
    sockaddr_ll a{};
    a.sll_family = AF_PACKET;
    a.sll_protocol = htons(ETH_P_ALL);
    a.sll_ifindex = static_cast<int>(if_nametoindex("h0"));
    MV_ASSERT(socket_ && bind(socket_.get(), reinterpret_cast<sockaddr*>(&a), sizeof a) == 0);
  }
  size_t left() {
    size_t n = 0;
    uint8_t p[2048];
    sockaddr_ll from{};
    socklen_t size = sizeof from;
    ssize_t got;
    while ((got = recvfrom(socket_.get(), p, sizeof p, 0, reinterpret_cast<sockaddr*>(&from), &size)) >= 0) {
      if (from.sll_pkttype == PACKET_OUTGOING && is_traffic({p, static_cast<size_t>(got)})) n++;
      size = sizeof from;
    }
    return n;
  }

 private:
  static bool is_traffic(Bytes p) {
    const auto h = routing::parse_ip(p);
    if (!h) return p.size() >= 40 && p[0] >> 4 == 6 && p[6] != 0 && p[6] != 58;  // neither MLD nor ND
    if (h->protocol == IpProtocol::icmpv6 && h->icmp_type >= 130) return false;
    return h->destination != kUpstream.address;
  }
  Fd socket_;
};

using MakeExit = Bench::Make;

template <class Exit>
Result<std::unique_ptr<ExitBackend>> make(Reactor& r, Rng& rng, PacketPool& pool, ExitConfig c,
                                          ExitBackend::OnPackets f) {
  auto made = Exit::create(r, rng, pool, std::move(c), std::move(f));
  return made ? Result<std::unique_ptr<ExitBackend>>(std::move(made).value()) : made.failure();
}

class DeniedPlaces : public testing::TestWithParam<MakeExit> {
 protected:
  void SetUp() override {
    if (!refusal().empty()) GTEST_SKIP() << refusal();
    ExitConfig c = Bench::config();
    c.extra_global.clear();  // TEST-NET is what it is everywhere
    bench = std::make_unique<Bench>(c, GetParam());
    ASSERT_TRUE(bench->exit) << bench->error;
    ann = &bench->add_client(kLease);
    uplink = std::make_unique<Uplink>();
  }

  // As no kernel would let a program: any destination, in a packet made by hand.
  void send(const IpAddress& to, IpProtocol protocol, uint16_t port) {
    Packet p = bench->pool.take();
    const bool tcp = protocol == IpProtocol::tcp, udp = protocol == IpProtocol::udp;
    const MutBytes t = routing::start_ip(routing::private_address(kLease, to.family()), to, protocol,
                                         tcp ? 20 : 16, p);
    if (tcp || udp) {
      store_be16(&t[0], 4000);
      store_be16(&t[2], port);
    }
    if (tcp) t[12] = 5 << 4, t[13] = 2;  // SYN
    if (udp) store_be16(&t[4], 16);
    if (!tcp && !udp) t[0] = to.is_v4() ? 8 : 128;
    routing::finish_ip(p);
    std::vector<Packet> batch;
    batch.push_back(std::move(p));
    bench->exit->inject(batch);
  }
  void send_all_kinds(const IpAddress& to) {
    for (const uint16_t port : {443, 53, 853}) {
      send(to, IpProtocol::tcp, port);
      send(to, IpProtocol::udp, port);
    }
    send(to, to.is_v4() ? IpProtocol::icmp : IpProtocol::icmpv6, 0);
    bench->run_for(2ms);
  }
  std::unique_ptr<Bench> bench;
  Client* ann = nullptr;
  std::unique_ptr<Uplink> uplink;
};

// First, last and one in between.
std::vector<IpAddress> samples(const Row& row) {
  const IpPrefix p = *IpPrefix::parse(row.block);
  ByteArray<16> inner = raw(p.address);
  inner[p.address.is_v4() ? 3 : 15] |= p.length < p.address.bits() ? 1 : 0;
  return {p.address, made(p.address, inner), last_of(p)};
}

IpAddress embedded(const char* prefix, const IpAddress& v4) {
  ByteArray<16> b = raw(*IpAddress::parse(prefix));
  std::copy(v4.bytes().begin(), v4.bytes().end(), b.begin() + 12);
  return IpAddress::v6(b);
}

// More special rows may lie inside of one that is reachable; only those that are not are tried.
std::vector<IpAddress> denied_addresses() {
  std::vector<IpAddress> out;
  for (const Row& r : kRegistry4) {
    if (r.reachable) continue;
    for (const IpAddress& a : samples(r)) {
      out.push_back(a);
      out.push_back(embedded("::ffff:0:0", a));
      out.push_back(embedded("64:ff9b::", a));
      out.push_back(embedded("::", a));
    }
  }
  for (const Row& r : kRegistry6) {
    if (r.reachable) continue;
    for (const IpAddress& a : samples(r)) out.push_back(a);
  }
  return out;
}

TEST_P(DeniedPlaces, NoPacketLeavesForAnyOfThem) {
  uplink->left();
  for (const IpAddress& a : denied_addresses()) {
    send_all_kinds(a);
    EXPECT_EQ(uplink->left(), 0u) << a.reveal();
  }
  send_all_kinds(*IpAddress::parse("9.9.9.9"));  // and the watch sees what does leave
  bench->run_for(50ms);
  EXPECT_GE(uplink->left(), 3u);
}

TEST_P(DeniedPlaces, NoNameLeadsToAnyOfThem) {
  const Endpoint dns = at("10.10.0.1:53");
  const IpAddress good = *IpAddress::parse("9.9.9.9");
  const auto lookup = [&](const IpAddress& a) {
    const std::string name = to_hex(a.bytes()) + ".addr.test";
    return bench->resolve(*ann, name.c_str(), a.is_v4() ? routing::kDnsA : routing::kDnsAaaa, dns);
  };
  EXPECT_EQ(lookup(good), std::vector{good});
  for (const IpAddress& a : denied_addresses()) EXPECT_TRUE(lookup(a).empty()) << a.reveal();
}

TEST_P(DeniedPlaces, NeitherTheHostNorRelaysNorClientsNorMailAreReached) {
  const Fd host = open_socket(AF_INET, SOCK_STREAM);
  const SocketAddress any(Endpoint{IpAddress(), 443});
  ASSERT_EQ(bind(host.get(), any.data(), any.size), 0);
  ASSERT_EQ(listen(host.get(), 8), 0);
  Client& bob = bench->add_client(LeaseNumber{8});
  const Fd bobs = bob.socket(AF_INET, SOCK_DGRAM);
  const SocketAddress open(Endpoint{IpAddress(), 443});
  ASSERT_EQ(bind(bobs.get(), open.data(), open.size), 0);
  uplink->left();
  for (const char* a : {"192.0.2.1", "2001:db8::1", "127.0.0.1", "10.10.0.1", "10.10.0.2", "100.64.0.8", "169.254.9.1",
                        "fd86:ea04:1115::2", "fd86:ea04:1115:ffff::8", "fd86:ea04:1115:fffe::1"}) {
    for (const IpProtocol protocol : {IpProtocol::tcp, IpProtocol::udp}) send(*IpAddress::parse(a), protocol, 443);
    bench->run_for(5ms);
  }
  send(*IpAddress::parse("9.9.9.9"), IpProtocol::tcp, 25);
  send(*IpAddress::parse("203.0.113.20"), IpProtocol::udp, 7);
  bench->run_for(50ms);
  EXPECT_EQ(uplink->left(), 0u);
  EXPECT_LT(accept(host.get(), nullptr, nullptr), 0);
  char c;
  EXPECT_LT(recv(bobs.get(), &c, 1, 0), 0);
}

INSTANTIATE_TEST_SUITE_P(Exits, DeniedPlaces, testing::Values(make<RootlessExit>, make<KernelExit>),
                         [](const auto& i) { return i.index == 0 ? "Rootless" : "Kernel"; });

}  // namespace
}  // namespace macrovpn::shell
