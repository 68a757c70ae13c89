// Which addresses are global unicast.  Relays extend only to those, exits connect only to those.
// Source: the IANA IPv4 and IPv6 special-purpose address registries, as of 2026-07-18; RFC 6052, RFC 4291.
#pragma once
#include <span>

#include "model/ip.h"

namespace macrovpn {

// True if every node on the Internet may be reached at `a`: not in a special-purpose block that is not
// globally reachable, not multicast or reserved.  Addresses that embed an IPv4 address (::ffff:0:0/96,
// 64:ff9b::/96) are judged by what they embed.  `extra_global`: blocks that a lab's network file counts as
// global (TEST-NET).
bool is_global_unicast(const IpAddress& a, std::span<const IpPrefix> extra_global = {});

// The IPv4 address inside an IPv4-mapped or NAT64 address, else nothing.
std::optional<IpAddress> embedded_v4(const IpAddress&);

}  // namespace macrovpn
