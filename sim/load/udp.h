// UDP datagrams as IP packets (RFC 768, 8200), with right checksums.
#pragma once
#include "core/routing/ip_packet.h"

namespace macrovpn::sim {

struct UdpDatagram {
  Endpoint source, destination;
  Bytes payload;  // a view of the packet
};

// Nothing: no UDP, not whole, or its checksum is wrong.
std::optional<UdpDatagram> read_udp(Bytes packet);
// Into `out`, which must be large enough: the whole packet.
MutBytes write_udp(const UdpDatagram& d, MutBytes out);

}  // namespace macrovpn::sim
