// How the proxy's sockets leave.  In production all of this is inside of the private network, where the only
// way leads into the tunnel; unit tests stay on loopback.
#pragma once
#include <functional>

#include "base/rng.h"
#include "shell/fd.h"
#include "shell/proxy/group_table.h"
#include "shell/reactor.h"

namespace macrovpn::shell {

// Addresses of the private network itself, and such as name no single host.  Connecting to them would reach
// the proxy's own sockets, or nobody.
bool is_inside_or_no_host(const IpAddress&);

struct Outbound {
  Reactor& reactor;
  Rng& rng;
  Endpoint resolver{*IpAddress::parse("10.10.0.1"), 53};
  std::function<GroupAddresses(GroupSlot)> sources = addresses_of;
  std::function<bool(const IpAddress&)> is_forbidden = is_inside_or_no_host;

  Mono now() const { return reactor.now().mono; }
};

// Non-blocking and bound to the group's address of this family, port chosen by the kernel.  Empty: errno says
// why.
Fd open_outbound(const Outbound&, GroupSlot, IpFamily, int type);

}  // namespace macrovpn::shell
