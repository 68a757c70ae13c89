// The IP header in front of a transport's, and the checksum over both (RFC 791, 8200, 9293 §3.1).
#pragma once
#include "core/routing/ip_packet.h"

namespace macrovpn::sim {

constexpr size_t ip_header_size(IpFamily f) {
  return f == IpFamily::v4 ? 20 : 40;
}
// Without options, not to be fragmented, 64 hops. `transport` bytes follow it.
void write_ip_header(const IpAddress& source, const IpAddress& destination, routing::IpProtocol, size_t transport, uint8_t* out);
// Of a packet with such a header: the transport's checksum, ready to be stored; 0 over a packet that holds its own.
uint16_t transport_checksum(Bytes packet, routing::IpProtocol);

}  // namespace macrovpn::sim
