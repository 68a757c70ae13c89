#include "shell/driver/own_addresses.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <bit>
#include <cstring>

#include "shell/fd.h"

namespace macrovpn::shell {
namespace {

IpAddress address_of(const sockaddr_storage& s) {
  if (s.ss_family == AF_INET) return IpAddress::v4(ntohl(reinterpret_cast<const sockaddr_in&>(s).sin_addr.s_addr));
  ByteArray<16> b;
  std::memcpy(b.data(), &reinterpret_cast<const sockaddr_in6&>(s).sin6_addr, 16);
  return IpAddress::v6(b);
}

}  // namespace

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
    const IpAddress a = address_of(address);
    out.addresses.push_back(a);
    out.networks.push_back(IpPrefix::of(a, length));
    const bool loopback = (i->ifa_flags & IFF_LOOPBACK) != 0;
    const bool link_local = !a.is_v4() && a.bytes()[0] == 0xfe && (a.bytes()[1] & 0xc0) == 0x80;
    out.has_global_v6 |= !a.is_v4() && !loopback && !link_local;
  }
  freeifaddrs(list);
  return out;
}

std::optional<IpAddress> outward_address(IpFamily family, uint32_t mark) {
  const bool v4 = family == IpFamily::v4;
  const Fd s(socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!s) return std::nullopt;
  if (mark != 0) setsockopt(s.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark);  // refused: nobody routes by it then
  sockaddr_storage to{}, from{};
  // Documentation addresses: no route but the default one leads there.
  if (v4) {
    auto& a = reinterpret_cast<sockaddr_in&>(to);
    a.sin_family = AF_INET;
    a.sin_port = htons(9);
    a.sin_addr.s_addr = htonl(0xc0000209);  // 192.0.2.9
  } else {
    auto& a = reinterpret_cast<sockaddr_in6&>(to);
    a.sin6_family = AF_INET6;
    a.sin6_port = htons(9);
    const ByteArray<4> head{0x20, 0x01, 0x0d, 0xb8};  // 2001:db8::9
    std::copy(head.begin(), head.end(), a.sin6_addr.s6_addr);
    a.sin6_addr.s6_addr[15] = 9;
  }
  socklen_t size = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (connect(s.get(), reinterpret_cast<sockaddr*>(&to), size) != 0 ||
      getsockname(s.get(), reinterpret_cast<sockaddr*>(&from), &size) != 0)
    return std::nullopt;
  const IpAddress a = address_of(from);
  return a.is_unspecified() ? std::nullopt : std::optional(a);
}

}  // namespace macrovpn::shell
