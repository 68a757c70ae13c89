// The device of `macrovpn up`, and the routes that lead everything into it.
//
//   rule 0     lookup local                       the kernel's: this computer's own addresses
//   rule 100   iif macrovpn0 lookup main          answers for containers and guests behind this computer
//   rule 101   not fwmark MARK lookup 27766       everything but our daemon's datagrams; its only routes are
//                                                 `default dev macrovpn0` and, behind that, `unreachable
//                                                 default`
//   rule 102   not fwmark MARK unreachable        IPv6 would go on to main for a socket that is bound to a device
//                                                 (IPv4 then takes everybody for a neighbour on that device; the
//                                                 kill switch is what stops that, and multicast)
//   ...        main and what others made          never asked for what is not marked
//
// The main table is where DHCP, router advertisements and the LAN write, so it decides nothing, not even by
// a longer prefix (the usual "suppress_prefixlength 0" lets more specific routes of main win: that is
// TunnelVision and TunnelCrack).  So the LAN is not reachable either while the VPN is up.
//
// The device is persistent: it outlives the daemon, and drops what comes while nobody reads it.
#pragma once
#include "base/result.h"
#include "shell/fd.h"
#include "shell/packet_device.h"

namespace macrovpn::shell::system {

// Adds what is missing; harmless when all is there.
Result<void> make_device(unsigned mtu);
Result<void> add_rules();
// For the daemon: the end that it reads.  Fails if another one holds it.
Result<PacketDevice> open_device();

bool device_exists();
// Each returns whether something was there.
Result<bool> remove_rules();
Result<bool> remove_device();

}  // namespace macrovpn::shell::system
