// Which addresses this host has.
#pragma once
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

}  // namespace macrovpn::shell
