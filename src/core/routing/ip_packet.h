// IP packets as an exit and a client see them: strictly parsed, never trusted.  RFC 791, 8200, 768, 9293,
// 792, 4443.
//
// Refused outright, because no ordinary host sends them and each has been an attack: IPv4 options (source
// routes), IPv6 routing headers and jumbograms, TCP in fragments, first fragments without a whole transport
// header, lengths that disagree.  Checksums of IPv4 headers are verified; those of the transport are the far
// end's matter.
#pragma once
#include "base/bytes.h"
#include "base/result.h"
#include "model/ip.h"

namespace macrovpn::routing {

inline constexpr uint16_t kLeastV6Mtu = 1280;  // RFC 8200 §5

enum class IpProtocol : uint8_t { icmp = 1, tcp = 6, udp = 17, icmpv6 = 58 };

enum class IpDrop : uint8_t {
  truncated,
  bad_version,
  bad_length,
  bad_checksum,
  options,
  extension,
  fragment,
  kCount
};

enum TcpFlag : uint8_t { kTcpFin = 1, kTcpSyn = 2, kTcpRst = 4, kTcpPsh = 8, kTcpAck = 16 };

enum class Fragment : uint8_t { none, first, later };

struct IpHeader {
  IpAddress source, destination;
  IpProtocol protocol{};  // any value; the names are only those we handle
  Fragment fragment = Fragment::none;
  uint8_t hop_limit = 0;
  uint8_t tcp_flags = 0;     // TCP only
  uint16_t source_port = 0;  // TCP and UDP; of an ICMP echo both are its identifier; 0 in a later fragment
  uint16_t destination_port = 0;
  uint8_t icmp_type = 0, icmp_code = 0;  // ICMP only
  uint16_t payload_at = 0;               // where the transport header starts, or a later fragment's data
  uint16_t size = 0;                     // of the IP packet; what follows in the buffer is padding

  bool is_v4() const { return destination.is_v4(); }
  bool has_transport() const { return fragment != Fragment::later; }
};

Result<IpHeader, IpDrop> parse_ip(Bytes packet);

// Of an echo request or reply, else false.
bool is_echo_request(const IpHeader&);
bool is_echo_reply(const IpHeader&);

// The Internet checksum (RFC 1071): the complement of the sum, ready to be stored.  0 over data that holds
// its own.
uint16_t internet_checksum(Bytes data, uint32_t initial = 0);
// The sum of a pseudo header, as `initial` above.
uint32_t pseudo_header_sum(const IpAddress& source, const IpAddress& destination, IpProtocol, size_t length);
// A checksum after some covered bytes changed (RFC 1624, equation 3).  Same even size, at even offsets.
uint16_t updated_checksum(uint16_t checksum, Bytes before, Bytes after);

// Offset of the checksum field in the transport header; 0 if the protocol has none that we know.
size_t checksum_offset(IpProtocol);
bool covers_pseudo_header(IpProtocol);  // all of them but ICMP for IPv4

// Recomputes the IPv4 header's checksum.
void seal_ipv4_header(MutBytes packet);

}  // namespace macrovpn::routing
