// Numbers of things in a world.
#pragma once
#include <cstdint>

#include "base/strong.h"

namespace macrovpn::sim {

using HostId = Strong<struct HostIdTag, uint32_t>;
using BoxId = Strong<struct BoxIdTag, uint32_t>;      // a NAT or a firewall
using RealmId = Strong<struct RealmIdTag, uint32_t>;  // an address space: 0 is the Internet, each box has one behind it
inline constexpr RealmId kInternet{0};

}  // namespace macrovpn::sim
