// TCP segments as bytes: IPv4 or IPv6, the TCP header (RFC 9293), and the options of today's kernels but timestamps: MSS, window scale
// (RFC 7323), SACK permitted, SACK (RFC 2018).
#pragma once
#include <array>
#include <optional>

#include "core/routing/ip_packet.h"

namespace macrovpn::sim {

struct SackBlock {
  uint32_t begin = 0, end = 0;
};
inline constexpr size_t kMostSacks = 4;  // what 40 bytes of options hold without timestamps

struct TcpSegment {
  Endpoint source, destination;
  uint32_t sequence = 0, acknowledged = 0;
  uint8_t flags = 0;  // routing::TcpFlag
  uint16_t window = 0;
  std::optional<uint16_t> mss;
  std::optional<uint8_t> scale;
  bool sack_permitted = false;
  std::array<SackBlock, kMostSacks> sacks{};
  uint8_t sack_count = 0;
  Bytes payload;  // when read: a view of the packet

  bool has(routing::TcpFlag f) const { return (flags & f) != 0; }
};

// Of headers without options.
constexpr size_t tcp_headers(IpFamily f) {
  return f == IpFamily::v4 ? 40 : 60;
}
size_t option_bytes(const TcpSegment&);

enum class SegmentDrop : uint8_t { not_ip, not_tcp, bad_checksum, bad_options };
Result<TcpSegment, SegmentDrop> read_segment(Bytes packet);

// Writes headers and options into `out` and returns the whole packet with room for `payload` bytes at its end; finish_segment() once
// they are written.  `out` must be large enough.
MutBytes start_segment(const TcpSegment&, size_t payload, MutBytes out);
void finish_segment(MutBytes packet);  // the checksum

}  // namespace macrovpn::sim
