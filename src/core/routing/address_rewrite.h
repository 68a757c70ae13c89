// At the exit, each lease's packets get a source address of their own before they enter the private namespace
// or the kernel, and replies lose it again.  Inside addresses are the same for everybody (10.10.0.2,
// fd86:ea04:1115::2), so without this all clients would collide in connection tracking and socket lookup.
//
//   10.10.0.2             <->  100.64.0.0 + lease number               (RFC 6598 space: never on the
//   Internet) fd86:ea04:1115::2     <->  fd86:ea04:1115:ffff:: + lease number
//
// Checksums are updated, not recomputed (RFC 1624): a packet that was broken stays broken, as with any NAT.
// Where a packet is an ICMP error, the packet quoted in it is rewritten too.
#pragma once
#include "core/routing/ip_packet.h"
#include "core/routing/lease_table.h"

namespace macrovpn::routing {

struct InsideAddresses {
  IpAddress client4, client6;  // 10.10.0.2 and fd86:ea04:1115::2
  IpAddress dns4, dns6;        // 10.10.0.1 and fd86:ea04:1115::1
  IpPrefix network4, network6;
  static const InsideAddresses& get();
  const IpAddress& client(IpFamily f) const { return f == IpFamily::v4 ? client4 : client6; }
  const IpAddress& dns(IpFamily f) const { return f == IpFamily::v4 ? dns4 : dns6; }
  bool is_dns(const IpAddress& a) const { return a == dns4 || a == dns6; }
};

// The address of a lease behind the exit; 1 <= number <= kMaxLeaseNumber.
IpAddress private_address(LeaseNumber, IpFamily);
// LeaseNumber 0: not the private address of a lease.
LeaseNumber lease_of_private(const IpAddress&);
IpPrefix private_network(IpFamily);  // 100.64.0.0/10, fd86:ea04:1115:ffff::/96
// The part of it that holds the leases of one shard; of one that is alone, all.
IpPrefix private_network(IpFamily, const ShardPlace&);

enum class RewriteDrop : uint8_t { malformed, wrong_address, kCount };

// From the client: its constant source address becomes the lease's.  Any other source is refused.
Result<void, RewriteDrop> rewrite_to_private(MutBytes packet, LeaseNumber);
// To the client: tells whose packet it is and gives it the constant destination address.
Result<LeaseNumber, RewriteDrop> rewrite_from_private(MutBytes packet);

// At the client, for a group whose local source address is not the inside one (DESIGN §5): the source becomes the inside
// address; the destination, if it is the inside address, becomes the local one.
Result<void, RewriteDrop> rewrite_to_inside(MutBytes packet);
Result<void, RewriteDrop> rewrite_from_inside(MutBytes packet, const IpAddress& local4, const IpAddress& local6);

}  // namespace macrovpn::routing
