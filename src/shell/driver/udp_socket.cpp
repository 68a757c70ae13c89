#include "shell/driver/udp_socket.h"

#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <bit>
#include <cerrno>

namespace macrovpn::shell {
namespace {

constexpr int kBuffer = 4 << 20;

socklen_t to_sockaddr(const Endpoint& e, UdpSocket::Stack stack, sockaddr_storage& out) {
  std::memset(&out, 0, sizeof out);
  if (stack == UdpSocket::Stack::v4_only) {
    auto& a = reinterpret_cast<sockaddr_in&>(out);
    a.sin_family = AF_INET;
    a.sin_port = htons(e.port);
    if (e.address.is_v4()) std::memcpy(&a.sin_addr, e.address.bytes().data(), 4);
    return sizeof a;
  }
  auto& a = reinterpret_cast<sockaddr_in6&>(out);
  a.sin6_family = AF_INET6;
  a.sin6_port = htons(e.port);
  if (!e.address.is_v4()) {
    std::memcpy(&a.sin6_addr, e.address.bytes().data(), 16);
  } else if (!e.address.is_unspecified()) {
    a.sin6_addr.s6_addr[10] = a.sin6_addr.s6_addr[11] = 0xff;  // IPv4-mapped
    std::memcpy(&a.sin6_addr.s6_addr[12], e.address.bytes().data(), 4);
  }
  return sizeof a;
}

Endpoint from_sockaddr(const sockaddr_storage& s) {
  if (s.ss_family == AF_INET) {
    const auto& a = reinterpret_cast<const sockaddr_in&>(s);
    return {IpAddress::v4(ntohl(a.sin_addr.s_addr)), ntohs(a.sin_port)};
  }
  const auto& a = reinterpret_cast<const sockaddr_in6&>(s);
  ByteArray<16> b;
  std::memcpy(b.data(), &a.sin6_addr, 16);
  if (IN6_IS_ADDR_V4MAPPED(&a.sin6_addr)) return {IpAddress::v4(load_be32(&b[12])), ntohs(a.sin6_port)};
  return {IpAddress::v6(b), ntohs(a.sin6_port)};
}

void set(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof value);
}

}  // namespace

Result<void> UdpSocket::create() {
  fd_ = Fd(socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_) {
    stack_ = Stack::v4_only;
    fd_ = Fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }
  if (!fd_) return fail(std::string("cannot open a UDP socket: ") + strerror(errno));
  if (stack_ == Stack::both) {
    set(fd(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
    set(fd(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
  }
  set(fd(), IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  set(fd(), SOL_SOCKET, SO_RCVBUF, kBuffer);
  set(fd(), SOL_SOCKET, SO_SNDBUF, kBuffer);
  set(fd(), SOL_SOCKET, SO_RCVBUFFORCE, kBuffer);  // root's; else the system's net.core.rmem_max bounds it
  set(fd(), SOL_SOCKET, SO_SNDBUFFORCE, kBuffer);
  // Refused to who has no rights over the network; nobody routes by it then.
  if (mark_ != 0) set(fd(), SOL_SOCKET, SO_MARK, static_cast<int>(mark_));
  return {};
}

Result<UdpSocket> UdpSocket::connected_twin(const Endpoint& remote) const {
  UdpSocket s;
  s.mark_ = mark_;
  TRY_VOID(s.create());
  sockaddr_storage here, there;
  socklen_t n = sizeof here;
  getsockname(fd(), reinterpret_cast<sockaddr*>(&here), &n);
  const socklen_t m = to_sockaddr(remote, stack_, there);
  set(s.fd(), SOL_SOCKET, SO_REUSEPORT, 1);
  set(fd(), SOL_SOCKET, SO_REUSEPORT, 1);
  const bool made = s.stack_ == stack_ && bind(s.fd(), reinterpret_cast<sockaddr*>(&here), n) == 0 &&
                    connect(s.fd(), reinterpret_cast<sockaddr*>(&there), m) == 0;
  const int why = errno;
  set(fd(), SOL_SOCKET, SO_REUSEPORT, 0);
  if (!made) return fail(std::string("cannot share a UDP port: ") + strerror(why));
  s.port_ = port_;
  return s;
}

Result<UdpSocket> UdpSocket::open(const Endpoint& local, uint32_t mark) {
  UdpSocket s;
  s.mark_ = mark;
  TRY_VOID(s.create());
  sockaddr_storage a;
  const socklen_t n = to_sockaddr(local, s.stack_, a);
  if (bind(s.fd(), reinterpret_cast<sockaddr*>(&a), n) != 0) {
    const std::string why = errno == EADDRINUSE ? "another program uses it; choose another with --listen"
                                                : std::string(strerror(errno));
    return fail("cannot listen on UDP port " + std::to_string(local.port) + ": " + why);
  }
  socklen_t size = sizeof a;
  getsockname(s.fd(), reinterpret_cast<sockaddr*>(&a), &size);
  s.port_ = from_sockaddr(a).port;
  return s;
}

size_t UdpSocket::receive(SocketId id, PacketPool& pool, std::vector<node::Datagram>& out) {
  std::array<Packet, kBatch> packets;
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> vectors;
  std::array<sockaddr_storage, kBatch> names;
  for (size_t i = 0; i < kBatch; i++) {
    packets[i] = pool.take();
    packets[i].push_back(kPacketMax);
    vectors[i] = {packets[i].data(), kPacketMax};
    messages[i].msg_hdr.msg_name = &names[i];
    messages[i].msg_hdr.msg_namelen = sizeof names[i];
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const int n = recvmmsg(fd(), messages.data(), kBatch, MSG_DONTWAIT, nullptr);
  if (n <= 0) return 0;
  for (size_t i = 0; i < static_cast<size_t>(n); i++) {
    if ((messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) continue;
    packets[i].truncate(messages[i].msg_len);
    out.push_back({id, from_sockaddr(names[i]), std::move(packets[i])});
  }
  return static_cast<size_t>(n);
}

size_t UdpSocket::send(std::span<node::Datagram> batch) {
  size_t sent = 0;
  for (size_t at = 0; at < batch.size();) {
    const size_t count = std::min(kBatch, batch.size() - at);
    std::array<mmsghdr, kBatch> messages{};
    std::array<iovec, kBatch> vectors;
    std::array<sockaddr_storage, kBatch> names;
    for (size_t i = 0; i < count; i++) {
      node::Datagram& d = batch[at + i];
      vectors[i] = {d.packet.data(), d.packet.size()};
      messages[i].msg_hdr.msg_name = &names[i];
      messages[i].msg_hdr.msg_namelen = to_sockaddr(d.remote, stack_, names[i]);
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int n = sendmmsg(fd(), messages.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
    if (n > 0) sent += static_cast<size_t>(n);
    at += n > 0 ? static_cast<size_t>(n) : 1;  // the first one was refused: skip it
  }
  return sent;
}

OwnAddresses read_own_addresses() {
  OwnAddresses out;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return out;
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || i->ifa_netmask == nullptr) continue;
    const int family = i->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    sockaddr_storage address{}, mask{};
    const size_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    std::memcpy(&address, i->ifa_addr, size);
    std::memcpy(&mask, i->ifa_netmask, size);
    const uint8_t* bits = family == AF_INET
                              ? reinterpret_cast<uint8_t*>(&reinterpret_cast<sockaddr_in&>(mask).sin_addr)
                              : reinterpret_cast<sockaddr_in6&>(mask).sin6_addr.s6_addr;
    unsigned length = 0;
    for (size_t k = 0; k < (family == AF_INET ? 4u : 16u); k++)
      length += static_cast<unsigned>(std::popcount(bits[k]));
    const IpAddress a = from_sockaddr(address).address;
    out.addresses.push_back(a);
    out.networks.push_back(IpPrefix::of(a, length));
    const bool loopback = (i->ifa_flags & IFF_LOOPBACK) != 0;
    const bool link_local = !a.is_v4() && a.bytes()[0] == 0xfe && (a.bytes()[1] & 0xc0) == 0x80;
    out.has_global_v6 |= !a.is_v4() && !loopback && !link_local;
  }
  freeifaddrs(list);
  return out;
}

}  // namespace macrovpn::shell
