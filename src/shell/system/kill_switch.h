// KillSwitch: nft rules that let nothing of this computer out but what our daemon sends to its entry relays.
//
// It is loaded before routes are changed and taken away after they were put back, and it is kept by the
// kernel: a daemon that was killed, stopped or never started changes nothing about it.  Routing (routes.h) leads
// everything into our device, and these rules drop what leaves by another one all the same: a socket bound to
// a device, multicast, a route that somebody else slipped in (TunnelVision, CVE-2024-3661; TunnelCrack,
// CVE-2023-36672 and -36673).
//
// What may pass is never said by where it goes, since whoever makes the network says where addresses are:
//
//   our own           UDP and TCP of a socket of root's that carries our mark: datagrams to the entry relays, and where UDP does not
//                     pass, one connection to such a relay's HTTPS port (https/client.h makes no other).  Both the packet's and the socket's
//                     mark are asked for: other rules of a firewall can mark packets, but only a process with
//                     CAP_NET_ADMIN can mark a socket (socket(7), SO_MARK)
//   inside packets    into our device, from the constant inside addresses
//   loopback
//   ND                router and neighbour solicitations, neighbour advertisements, hop limit 255, to
//                     link-local addresses (RFC 4861): without them there is no IPv6 uplink, and no router
//                     passes them on
//   DHCPv6            port 546 to 547 from link-local to ff02::1:2 (RFC 8415).  DHCPv4's clients send what
//                     matters through packet sockets, which rules do not see
//
// No MLD and no IGMP: they would tell the LAN which groups programs listen to.  Nothing that is forwarded
// passes but into our device.  What comes from our device is taken only as an answer, and what comes for an
// inside address from anywhere else is dropped (CVE-2019-14899).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace macrovpn::shell::system {

// The same rules as text for `nft -f`; loading them replaces an older version in one step, without a gap.
std::string kill_switch_rules();
Result<void> load_kill_switch();
// True if there was one.
Result<bool> unload_kill_switch();

// Without a process of its own, as the daemon asks every few seconds.  Needs root.
Result<bool> kill_switch_is_loaded();

struct Blocked {
  std::string what;  // "names", in words for a person
  uint64_t packets = 0;
};
struct KillSwitchState {
  bool loaded = false;
  std::vector<Blocked> blocked;  // counts above zero, since it was loaded
};
// Needs root.
Result<KillSwitchState> look_at_kill_switch();
// What `nft -j list table` says of our table.
Result<KillSwitchState> read_kill_switch_listing(std::string_view json);

}  // namespace macrovpn::shell::system
