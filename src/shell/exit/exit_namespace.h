// The private network of a rootless exit: packets written to its device meet TPROXY rules, so that the
// kernel's own TCP ends every connection, whatever its destination, at a listening socket that we hold
// outside.
//
//   device ── nft: tproxy to port 1, mark 1 ── ip rule: mark 1 is local ── listener (accepted sockets are
//   bound to the original destination)
//
// No process stays inside: the descriptors keep the namespace alive, and with them it goes.
#pragma once
#include "shell/exit/exit_backend.h"
#include "shell/namespace.h"

namespace macrovpn::shell {

struct ExitNamespace {
  PacketDevice device;
  Fd tcp4, udp4;
  Fd tcp6, udp6;  // empty where the kernel has no IPv6
};
// UDP sockets get what came in fragments, put together; whole datagrams never enter (udp_exit.h).
Result<ExitNamespace> make_exit_namespace(uint16_t mtu, std::optional<PacketDevice::Kind> device);

}  // namespace macrovpn::shell
