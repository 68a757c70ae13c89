// What ioctls about a network device begin with: its name (netdevice(7)).
#pragma once
#include <net/if.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace macrovpn::shell {

inline ifreq interface_request(const std::string& name) {
  ifreq r{};
  std::memcpy(r.ifr_name, name.data(), std::min<size_t>(name.size(), IFNAMSIZ - 1));
  return r;
}

}  // namespace macrovpn::shell
