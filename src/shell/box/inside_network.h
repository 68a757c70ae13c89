// What is inside every private network of ours: a packet device with the inside addresses that are the same
// for everybody (DESIGN §5), and default routes through it.  The box of `run` and the proxy both live in one.
#pragma once
#include <optional>

#include "base/result.h"
#include "shell/packet_device.h"

namespace macrovpn::shell {

enum class Sources : uint8_t {
  one,    // 10.10.0.2 and fd86:ea04:1115::2
  groups  // also those of isolation groups, 10.10.128.0/17 and fd86:ea04:1115::1:0/112: any of them can be
          // bound to
};

struct InsideNetwork {
  unsigned mtu = 1376;                       // three hops over IPv4
  std::optional<PacketDevice::Kind> device;  // what must be used; else a TUN if there can be one
  Sources sources = Sources::one;
};

// In the namespaces of the calling process, which enter_namespaces() made.
Result<PacketDevice> make_inside_network(const InsideNetwork&);

// Empties every capability set of the calling process, so that it can neither change its network nor leave.
// For an ordinary user executing a program does most of it; root would get all of them back from the bounding
// set, so that is emptied too.  False: the kernel refused.
bool drop_capabilities();

}  // namespace macrovpn::shell
