#include "shell/exit/exit_namespace.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "shell/exit/socket_address.h"
#include "shell/tun.h"

namespace macrovpn::shell {
namespace {

const char* const kDevice = "mv0";
constexpr uint16_t kProxyPort = 1;  // only a lookup key; nothing on the Internet can see it

// Rules first match what already has a socket, so that packets of open connections take the short way.  Of ICMP there is
// only what we say ourselves of packets that are too big for a client.
const char* const kRules = R"(
table inet macrovpn_exit {
  chain prerouting {
    type filter hook prerouting priority mangle;
    iifname != "mv0" accept
    meta l4proto tcp socket transparent 1 meta mark set 1 accept
    meta nfproto ipv4 meta l4proto { tcp, udp } tproxy ip to 127.0.0.1:1 meta mark set 1 accept
    meta nfproto ipv6 meta l4proto { tcp, udp } tproxy ip6 to [::1]:1 meta mark set 1 accept
    icmp type destination-unreachable meta mark set 1 accept
    icmpv6 type packet-too-big meta mark set 1 accept
    drop
  }
}
)";

Result<Fd> open_transparent(int family, int type) {
  Fd fd = open_socket(family, type);
  const int one = 1;
  const bool v4 = family == AF_INET;
  if (!fd || setsockopt(fd.get(), v4 ? SOL_IP : SOL_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &one,
                        sizeof one) != 0)
    return fail(std::string("cannot open a transparent socket: ") + std::strerror(errno));
  if (type == SOCK_DGRAM)
    set_option(fd.get(), v4 ? SOL_IP : SOL_IPV6, v4 ? IP_RECVORIGDSTADDR : IPV6_RECVORIGDSTADDR, 1);
  const SocketAddress any({v4 ? IpAddress() : IpAddress::v6({}), kProxyPort});
  if (bind(fd.get(), any.data(), any.size) != 0 || (type == SOCK_STREAM && listen(fd.get(), 4096) != 0))
    return fail(std::string("cannot bind a transparent socket: ") + std::strerror(errno));
  return fd;
}

Result<void> route(uint16_t mtu, bool v6) {
  // Reverse path filtering knows nothing of packets that are meant for the whole world.
  for (const char* i : {"all", "default", kDevice})
    TRY_VOID(write_setting(std::string("/proc/sys/net/ipv4/conf/") + i + "/rp_filter", "0"));
  std::string routes =
      "route add " + routing::private_network(IpFamily::v4).reveal() + " dev " + kDevice + "\n";
  if (v6) routes += "route add " + routing::private_network(IpFamily::v6).reveal() + " dev " + kDevice + "\n";
  LinkSetup link{mtu, {{*IpAddress::parse("169.254.9.1"), 32}}, false};
  TRY_VOID(configure_link(kDevice, link, routes));
  const std::string to_us = " dev lo table 100\nrule add fwmark 1 lookup 100\n";
  TRY_VOID(run_ip("route add local 0.0.0.0/0" + to_us));
  if (v6) TRY_VOID(run_ip6("route add local ::/0" + to_us));
  return run_nft(kRules);
}

Result<void> set_up(int channel, uint16_t mtu, std::optional<PacketDevice::Kind> kind) {
  TRY_VOID(enter_namespaces(Mounts::inherited));
  TRY(const PacketDevice device, PacketDevice::create(kDevice, kind));
  const bool v6 = access("/proc/sys/net/ipv6", F_OK) == 0 && mtu >= 1280;
  TRY_VOID(route(mtu, v6));
  std::vector<Fd> sockets;
  for (const int family : {AF_INET, AF_INET6}) {
    if (family == AF_INET6 && !v6) continue;
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      TRY(Fd fd, open_transparent(family, type));
      sockets.push_back(std::move(fd));
    }
  }
  std::vector<int> fds{device.fd()};
  for (const Fd& s : sockets) fds.push_back(s.get());
  return report_ready(channel, device.encode(), fds);
}

int helper_body(int channel, uint16_t mtu, std::optional<PacketDevice::Kind> kind) {
  const auto done = set_up(channel, mtu, kind);
  if (!done) report_error(channel, done.error());
  return done ? 0 : 1;
}

}  // namespace

Result<ExitNamespace> make_exit_namespace(uint16_t mtu, std::optional<PacketDevice::Kind> kind) {
  TRY(Helper helper, Helper::start([=](int channel) { return helper_body(channel, mtu, kind); }));
  TRY(FdMessage m, await_report(helper.channel()));
  if (m.fds.size() != 3 && m.fds.size() != 5) return fail("the exit's private network came up incomplete");
  ExitNamespace out;
  TRY(out.device, PacketDevice::decode(std::move(m.fds[0]), m.body));
  out.tcp4 = std::move(m.fds[1]);
  out.udp4 = std::move(m.fds[2]);
  if (m.fds.size() == 5) {
    out.tcp6 = std::move(m.fds[3]);
    out.udp6 = std::move(m.fds[4]);
  }
  return out;
}

}  // namespace macrovpn::shell
