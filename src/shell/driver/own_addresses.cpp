#include "shell/driver/own_addresses.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <bit>

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

}  // namespace macrovpn::shell
