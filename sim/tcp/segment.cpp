#include "sim/tcp/segment.h"

#include "sim/tcp/ip_header.h"

namespace macrovpn::sim {
namespace {

using routing::IpHeader;
using routing::IpProtocol;

constexpr size_t kTcpHeader = 20;
enum Option : uint8_t { kEnd = 0, kPadding = 1, kMss = 2, kScale = 3, kSackPermitted = 4, kSack = 5 };

bool read_option(uint8_t kind, Bytes body, TcpSegment& s) {
  switch (kind) {
    case kMss:
      if (body.size() != 2) return false;
      s.mss = load_be16(body.data());
      return true;
    case kScale:
      if (body.size() != 1) return false;
      s.scale = std::min<uint8_t>(body[0], 14);  // RFC 7323 §2.3
      return true;
    case kSackPermitted:
      s.sack_permitted = true;
      return body.empty();
    case kSack:
      if (body.size() % 8 != 0 || body.size() > 8 * kMostSacks) return false;
      for (size_t i = 0; i < body.size(); i += 8) s.sacks[s.sack_count++] = {load_be32(&body[i]), load_be32(&body[i + 4])};
      return true;
    default:
      return true;
  }
}

bool read_options(Bytes options, TcpSegment& s) {
  while (!options.empty() && options[0] != kEnd) {
    if (options[0] == kPadding) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) return false;
    if (s.sack_count != 0 && options[0] == kSack) return false;
    if (!read_option(options[0], options.subspan(2, options[1] - 2u), s)) return false;
    options = options.subspan(options[1]);
  }
  return true;
}

uint8_t* write_options(const TcpSegment& s, uint8_t* p) {
  if (s.mss) {
    *p++ = kMss;
    *p++ = 4;
    store_be16(p, *s.mss);
    p += 2;
  }
  if (s.scale) {
    for (const uint8_t b : {uint8_t{kPadding}, uint8_t{kScale}, uint8_t{3}, *s.scale}) *p++ = b;
  }
  if (s.sack_permitted)
    for (const Option b : {kPadding, kPadding, kSackPermitted, kMss}) *p++ = b;  // its length is 2
  if (s.sack_count != 0) {
    for (const Option b : {kPadding, kPadding, kSack}) *p++ = b;
    *p++ = static_cast<uint8_t>(2 + 8 * s.sack_count);
    for (size_t i = 0; i < s.sack_count; i++, p += 8) {
      store_be32(p, s.sacks[i].begin);
      store_be32(p + 4, s.sacks[i].end);
    }
  }
  return p;
}

}  // namespace

size_t option_bytes(const TcpSegment& s) {
  return (s.mss ? 4u : 0u) + (s.scale ? 4u : 0u) + (s.sack_permitted ? 4u : 0u) + (s.sack_count != 0 ? 4u + 8u * s.sack_count : 0u);
}

Result<TcpSegment, SegmentDrop> read_segment(Bytes packet) {
  const auto parsed = routing::parse_ip(packet);
  if (!parsed) return Failure{SegmentDrop::not_ip};
  const IpHeader& h = *parsed;
  if (h.protocol != IpProtocol::tcp || !h.has_transport()) return Failure{SegmentDrop::not_tcp};
  // Nobody here sends extension headers, so the checksum stands where it does without.
  if (h.payload_at != ip_header_size(h.source.family())) return Failure{SegmentDrop::not_tcp};
  if (transport_checksum(packet.first(h.size), IpProtocol::tcp) != 0) return Failure{SegmentDrop::bad_checksum};
  const Bytes t = packet.subspan(h.payload_at, h.size - size_t{h.payload_at});
  const size_t header = size_t{t[12]} >> 4 << 2;
  TcpSegment s{.source = {h.source, h.source_port}, .destination = {h.destination, h.destination_port}, .sequence = load_be32(&t[4]),
               .acknowledged = load_be32(&t[8]), .flags = t[13], .window = load_be16(&t[14]), .payload = t.subspan(header)};
  if (!read_options(t.subspan(kTcpHeader, header - kTcpHeader), s)) return Failure{SegmentDrop::bad_options};
  return s;
}

MutBytes start_segment(const TcpSegment& s, size_t payload, MutBytes out) {
  const size_t ip = ip_header_size(s.source.address.family()), header = kTcpHeader + option_bytes(s), size = ip + header + payload;
  MV_ASSERT(size <= out.size() && size <= 65535);
  uint8_t* const p = out.data();
  write_ip_header(s.source.address, s.destination.address, IpProtocol::tcp, header + payload, p);
  uint8_t* const t = p + ip;
  store_be16(t, s.source.port);
  store_be16(t + 2, s.destination.port);
  store_be32(t + 4, s.sequence);
  store_be32(t + 8, s.acknowledged);
  t[12] = static_cast<uint8_t>(header >> 2 << 4);
  t[13] = s.flags;
  store_be16(t + 14, s.window);
  store_be32(t + 16, 0);  // checksum, urgent pointer
  MV_ASSERT(write_options(s, t + kTcpHeader) == t + header);
  return out.first(size);
}

void finish_segment(MutBytes packet) {
  uint8_t* const field = &packet[(packet[0] >> 4 == 4 ? 20u : 40u) + 16];
  store_be16(field, 0);
  store_be16(field, transport_checksum(packet, IpProtocol::tcp));
}

}  // namespace macrovpn::sim
