// Packets that we send in answer to a packet that goes no further, and the one option that we change on its
// way.
#pragma once
#include "base/packet.h"
#include "core/routing/ip_packet.h"

namespace macrovpn::routing {

enum class Unreachable : uint8_t {
  no_route,    // there is no way there, or not by this IP version
  prohibited,  // our policy
  host,        // the network there gave up
  port,        // nothing listens (UDP)
};

// An ICMP error about `packet`, from `from` (same family) to its source, in `out`, which is emptied first.
// False, and nothing to send, where RFC 1122 and RFC 4443 forbid it: about ICMP errors, later fragments,
// multicast.
bool make_unreachable(Bytes packet, const IpHeader&, Unreachable, const IpAddress& from, Packet& out);
// Fragmentation needed / Packet Too Big.
bool make_too_big(Bytes packet, const IpHeader&, uint16_t mtu, const IpAddress& from, Packet& out);
// The reset that refuses or ends a TCP connection (RFC 9293 §3.10.7.1).  False about a reset.
bool make_tcp_reset(Bytes packet, const IpHeader&, Packet& out);
// A reset in the place of `packet`, from its source to its destination, which believes it if the packet was what it waited
// for (RFC 5961 §3.2).  False about a reset.
bool make_tcp_end(Bytes packet, const IpHeader&, Packet& out);

// An empty IP packet of that protocol with room for `payload` bytes; finish_ip() once they are written.
MutBytes start_ip(const IpAddress& source, const IpAddress& destination, IpProtocol, size_t payload,
                  Packet& out);
void finish_ip(Packet& packet);  // the transport's checksum

// Lowers the MSS option of a SYN so that its answer fits an MTU.  True if it changed.
bool clamp_mss(MutBytes packet, const IpHeader&, uint16_t mtu);

}  // namespace macrovpn::routing
