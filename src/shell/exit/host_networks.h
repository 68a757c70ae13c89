// What belongs to the host that an exit runs on, and whom it asks for names.
#pragma once
#include <string>
#include <vector>

#include "model/ip.h"

namespace macrovpn::shell {

struct HostNetworks {
  std::vector<IpAddress> addresses;
  std::vector<IpPrefix> networks;  // of its devices, shorter than an address
};
HostNetworks read_host_networks();

// The name servers of a resolv.conf, at port 53; 127.0.0.1 if it names none (resolv.conf(5)).
std::vector<Endpoint> read_name_servers(const std::string& path = "/etc/resolv.conf");

}  // namespace macrovpn::shell
