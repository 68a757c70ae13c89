#include "shell/exit/host_networks.h"

#include <ifaddrs.h>
#include <net/if.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

std::optional<IpAddress> address_of(const sockaddr* a) {
  if (a == nullptr) return std::nullopt;
  SocketAddress s;
  if (a->sa_family == AF_INET) std::memcpy(s.data(), a, sizeof(sockaddr_in));
  if (a->sa_family == AF_INET6) std::memcpy(s.data(), a, sizeof(sockaddr_in6));
  const auto e = s.endpoint();
  return e ? std::optional(e->address) : std::nullopt;
}

unsigned ones(Bytes mask) {
  unsigned n = 0;
  for (const uint8_t b : mask) n += static_cast<unsigned>(std::popcount(b));
  return n;
}

}  // namespace

HostNetworks read_host_networks() {
  HostNetworks out;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return out;
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    const auto address = address_of(i->ifa_addr);
    if (!address) continue;
    out.addresses.push_back(*address);
    const auto mask = address_of(i->ifa_netmask);
    const unsigned length = mask ? ones(mask->bytes()) : address->bits();
    if (length > 0 && length < address->bits()) out.networks.push_back(IpPrefix::of(*address, length));
    // A point-to-point device names its far end, which is as near as a neighbour.
    if ((i->ifa_flags & IFF_POINTOPOINT) == 0) continue;
    if (const auto far = address_of(i->ifa_dstaddr)) out.networks.push_back(IpPrefix::of(*far, far->bits()));
  }
  return out;
}

std::vector<Endpoint> read_name_servers(const std::string& path) {
  std::vector<Endpoint> out;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line) && out.size() < 8;) {
    std::istringstream words(line);
    std::string key, value;
    if (!(words >> key >> value) || key != "nameserver") continue;
    if (const auto a = IpAddress::parse(value)) out.push_back({*a, 53});
  }
  if (out.empty()) out.push_back({*IpAddress::parse("127.0.0.1"), 53});
  return out;
}

}  // namespace macrovpn::shell
