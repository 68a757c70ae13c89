// Which addresses this host has.
#pragma once
#include <optional>
#include <vector>

#include "model/ip.h"

namespace macrovpn::shell {

// The addresses of this host, and the networks it is on.
struct OwnAddresses {
  std::vector<IpAddress> addresses;
  std::vector<IpPrefix> networks;
  bool has_global_v6 = false;
};
OwnAddresses read_own_addresses();

// The address that the system would use towards the Internet, by its default route; nothing if there is no way there.  Asks
// routing and sends nothing.  `mark`: as for UdpSocket.
std::optional<IpAddress> outward_address(IpFamily family, uint32_t mark);

}  // namespace macrovpn::shell
