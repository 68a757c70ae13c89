#include "shell/nat/default_router.h"

#include <net/route.h>
#include <unistd.h>

#include <bit>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "shell/driver/own_addresses.h"
#include "shell/system/names.h"

namespace macrovpn::shell {

// Iface Destination Gateway Flags RefCnt Use Metric Mask …; addresses are hexadecimal words in the computer's own order.
std::optional<IpAddress> gateway_in(const std::string& routes) {
  std::istringstream in(routes);
  std::string line;
  std::optional<IpAddress> best;
  unsigned best_metric = 0;
  while (std::getline(in, line)) {
    char name[32];
    unsigned destination, gateway, flags, metric, mask;
    if (std::sscanf(line.c_str(), "%31s %x %x %x %*d %*d %u %x", name, &destination, &gateway, &flags, &metric, &mask) != 6) continue;
    if (destination != 0 || mask != 0 || (flags & RTF_GATEWAY) == 0 || gateway == 0) continue;
    if (best && metric >= best_metric) continue;
    best_metric = metric;
    best = IpAddress::v4(std::endian::native == std::endian::little ? __builtin_bswap32(gateway) : gateway);
  }
  return best;
}

std::optional<DefaultRouter> default_router() {
  std::ifstream in("/proc/net/route");
  std::ostringstream text;
  text << in.rdbuf();
  const auto router = gateway_in(text.str());
  const auto ours = outward_address(IpFamily::v4, geteuid() == 0 ? system::kMark : 0);
  if (!router || !ours) return std::nullopt;
  return DefaultRouter{*router, *ours};
}

}  // namespace macrovpn::shell
