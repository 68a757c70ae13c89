#include "shell/exit/world_test.h"

#include <sched.h>
#include <signal.h>
#include <sys/socket.h>

#include "core/routing/dns_message.h"
#include "shell/clock.h"
#include "shell/exit/world_internet_test.h"
#include "shell/tun.h"

namespace macrovpn::shell::world {

using namespace routing;

namespace {

std::string g_refusal;
Helper g_internet;

// In a network namespace inside ours; told to go on when the veth has been drawn.
int internet(int channel) {
  if (unshare(CLONE_NEWNET) != 0) return report_error(channel, {"cannot nest a network namespace"}), 1;
  static_cast<void>(send_fds(channel, as_bytes("in"), {}).ok());
  if (!recv_fds(channel)) return 1;
  // It knows a way to the exit's host and to nobody behind it: what left with a client's address gets no answer.
  auto up = run_ip(
      "link set lo up\nlink set i0 up\naddr add 192.0.2.2/30 dev i0\naddr add 2001:db8::2/64 dev i0 nodad\n"
      "addr add 198.51.100.10/32 dev lo\naddr add 203.0.113.20/32 dev lo\naddr add 9.9.9.9/32 dev lo\naddr "
      "add 10.1.2.3/32 dev lo\n"
      "addr add 2001:db8:7::10/128 dev lo nodad\n");
  if (!up) return report_error(channel, up.error()), 1;
  return run_internet(channel);
}

Result<void> draw() {
  TRY_VOID(enter_namespaces(Mounts::own));
  // So that both kinds of ping socket are seen: root finds none allowed and uses raw ones.
  if (getuid() != 0)
    TRY_VOID(write_setting("/proc/sys/net/ipv4/ping_group_range",
                           std::to_string(getgid()) + " " + std::to_string(getgid())));
  TRY(g_internet, Helper::start(internet));
  TRY(const FdMessage in, recv_fds(g_internet.channel()));
  if (!equal(in.body, as_bytes("in"))) return fail(std::string(in.body.begin(), in.body.end()));
  TRY_VOID(run_ip("link add h0 type veth peer name i0 netns " + std::to_string(g_internet.pid()) +
                  "\nlink set h0 up\naddr add 192.0.2.1/30 dev h0\naddr add 2001:db8::1/64 dev h0 nodad\n"));
  TRY_VOID(send_fds(g_internet.channel(), as_bytes("go"), {}));
  TRY(const FdMessage up, recv_fds(g_internet.channel()));
  if (!equal(up.body, as_bytes("up"))) return fail(std::string(up.body.begin(), up.body.end()));
  return run_ip("route add default via 192.0.2.2\nroute add default via 2001:db8::2\n");
}

int client_box(int channel) {
  const auto set_up = [&]() -> Result<void> {
    if (unshare(CLONE_NEWNET) != 0) return fail("cannot nest a network namespace");
    TRY_VOID(run_ip("link set lo up\n"));
    TRY(const PacketDevice device, PacketDevice::create("tun0"));
    TRY_VOID(configure_link(
        "tun0", {1376, {{*IpAddress::parse("10.10.0.2"), 16}, {*IpAddress::parse("fd86:ea04:1115::2"), 64}}},
        "route add default dev tun0\nroute add ::/0 dev tun0\n"));
    TRY_VOID(write_setting("/proc/sys/net/ipv4/ping_group_range",
                           std::to_string(getgid()) + " " + std::to_string(getgid())));
    const int fd = device.fd();
    return report_ready(channel, device.encode(), {&fd, 1});
  };
  if (const auto r = set_up(); !r) return report_error(channel, r.error()), 1;
  for (;;) {
    const auto m = recv_fds(channel);
    if (!m || m->body.size() != 3) return 0;
    const Fd s = open_socket(m->body[0], m->body[1], m->body[2]);
    if (!send_fd(channel, s.get())) return 0;
  }
}

}  // namespace

const std::string& refusal() {
  return g_refusal;
}

Client::Client(LeaseNumber n) : lease(n) {
  auto h = Helper::start(client_box);
  MV_ASSERT(h.ok());
  helper_ = std::move(h).value();
  auto m = await_report(helper_.channel());
  EXPECT_TRUE(m) << (m ? "" : m.error().message);
  auto d = PacketDevice::decode(std::move(m->fds.at(0)), m->body);
  MV_ASSERT(d.ok());
  device = std::move(d).value();
}

Fd Client::socket(int family, int type, int protocol) {
  const uint8_t body[] = {static_cast<uint8_t>(family), static_cast<uint8_t>(type),
                          static_cast<uint8_t>(protocol)};
  EXPECT_TRUE(send_fds(helper_.channel(), body, {}));
  auto fd = recv_fd(helper_.channel());
  return fd ? std::move(fd).value() : Fd();
}

ExitConfig Bench::config() {
  ExitConfig c;
  for (const char* p : {"198.51.100.0/24", "203.0.113.0/24", "2001:db8:7::/48"})
    c.extra_global.push_back(*IpPrefix::parse(p));
  c.is_relay = [](const Endpoint& e) { return e == at("203.0.113.20:7"); };
  c.dns_upstreams = {at("198.51.100.10:53")};
  return c;
}

Bench::Bench(const ExitConfig& config, const Make& make) {
  auto made = make(reactor, rng, pool, config, [this](std::span<Packet> packets) {
    for (Packet& p : packets) {
      const auto lease = rewrite_from_private(p.bytes());
      EXPECT_TRUE(lease);
      for (const auto& c : clients)
        if (lease && c->lease == *lease && p.size() <= circuits_carry) c->device.write_packet(p.bytes());
    }
  });
  if (made)
    exit = std::move(made).value();
  else
    error = made.error().message;
}

Bench::~Bench() {
  for (const auto& c : clients) reactor.remove(c->device.fd());
}

Client& Bench::add_client(LeaseNumber lease) {
  clients.push_back(std::make_unique<Client>(lease));
  Client& c = *clients.back();
  reactor.add(c.device.fd(), EPOLLIN, [this, &c](uint32_t) {
    std::vector<Packet> batch;
    c.device.read_packets(pool, batch, 64);
    std::erase_if(batch, [&](Packet& p) { return !rewrite_to_private(p.bytes(), c.lease); });
    exit->inject(batch);
  });
  return c;
}

bool Bench::until(const std::function<bool()>& done, Duration longest) {
  const Mono end = read_clocks().mono + longest;
  while (!done()) {
    if (read_clocks().mono >= end) return false;
    reactor.run_once(5ms);
  }
  return true;
}

int Bench::connect_tcp(const Fd& s, const Endpoint& to) {
  const SocketAddress a(to);
  if (connect(s.get(), a.data(), a.size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  int result = ETIME;
  until([&] {
    SocketAddress peer;
    if (getpeername(s.get(), peer.data(), &peer.size) == 0)
      result = 0;
    else if (const int e = pending_error(s.get()); e != 0)
      result = e;
    return result != ETIME;
  });
  return result;
}

std::string Bench::read_all(const Fd& s, size_t at_least, Duration longest) {
  std::string out;
  std::vector<char> b(1 << 20);
  until(
      [&] {
        ssize_t n;
        while ((n = recv(s.get(), b.data(), b.size(), 0)) > 0) out.append(b.data(), static_cast<size_t>(n));
        return n == 0 || errno != EAGAIN || out.size() >= at_least;
      },
      longest);
  return out;
}

void Bench::write_all(const Fd& s, std::string_view bytes) {
  until([&] {
    const ssize_t n = send(s.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) bytes.remove_prefix(static_cast<size_t>(n));
    return bytes.empty();
  });
}

std::string Bench::ask_udp(const Fd& s, const Endpoint& to, std::string_view bytes, Duration longest) {
  const SocketAddress a(to);
  if (sendto(s.get(), bytes.data(), bytes.size(), 0, a.data(), a.size) < 0) return {};
  std::vector<char> b(65536);
  ssize_t n = -1;
  until([&] { return (n = recv(s.get(), b.data(), b.size(), 0)) >= 0; }, longest);
  return n < 0 ? std::string() : std::string(b.data(), static_cast<size_t>(n));
}

int Bench::udp_error(const Fd& s, const Endpoint& to) {
  const SocketAddress a(to);
  const bool v4 = to.address.is_v4();
  set_option(s.get(), v4 ? SOL_IP : SOL_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR,
             1);  // else Linux hides all but closed ports
  if (connect(s.get(), a.data(), a.size) != 0) return errno;
  if (send(s.get(), "x", 1, 0) < 0) return errno;
  int met = 0;
  until([&] { return (met = pending_error(s.get())) != 0; }, 2s);
  return met;
}

std::vector<IpAddress> Bench::resolve(Client& c, const char* name, uint16_t type, const Endpoint& server,
                                      int socket_type) {
  DnsMessage q;
  q.id = 77;
  q.question = DnsQuestion{*DnsName::parse(name), type};
  std::vector<uint8_t> wire = encode_dns(q, 512);
  const Fd s = c.socket(family_of(server.address), socket_type);
  std::string reply;
  if (socket_type == SOCK_DGRAM) {
    reply = ask_udp(s, server, {reinterpret_cast<const char*>(wire.data()), wire.size()});
  } else {
    std::vector<uint8_t> framed;
    Writer(framed).be16(static_cast<uint16_t>(wire.size())).bytes(wire);
    EXPECT_EQ(connect_tcp(s, server), 0);
    write_all(s, {reinterpret_cast<const char*>(framed.data()), framed.size()});
    reply = read_all(s, 14, 3s);
    reply.erase(0, 2);
  }
  std::vector<IpAddress> out;
  const auto m = parse_dns(as_bytes(reply));
  EXPECT_TRUE(m) << name;
  if (!m) return out;
  for (const DnsRecord& r : m->section(DnsSection::answer))
    out.push_back(r.type == kDnsA ? IpAddress::v4(load_be32(r.data.data()))
                                  : IpAddress::v6(*to_array<16>(r.data)));
  return out;
}

}  // namespace macrovpn::shell::world

// Moves into namespaces before anything else, so that no test touches the machine's network.
int main(int argc, char** argv) {
  using namespace macrovpn::shell;
  testing::InitGoogleTest(&argc, argv);
  signal(SIGPIPE, SIG_IGN);
  if (const auto drawn = world::draw(); !drawn) {
    world::g_refusal = drawn.error().message;
    if (world::g_refusal.find("user namespaces") == std::string::npos) {
      std::fprintf(stderr, "%s\n", world::g_refusal.c_str());
      return 1;
    }
  }
  const int result = RUN_ALL_TESTS();
  world::g_internet.stop();
  return result;
}
