#include "core/routing/ip_packet.h"

#include "base/checksum.h"

namespace macrovpn::routing {
namespace {

constexpr size_t kHeader4 = 20, kHeader6 = 40;
constexpr unsigned kMaxExtensions = 8;

enum Extension : uint8_t { kHopByHop = 0, kRouting = 43, kFragmentHeader = 44, kDestinationOptions = 60 };

Failure<IpDrop> drop(IpDrop why) {
  return {why};
}

size_t transport_header_size(IpProtocol p) {
  switch (p) {
    case IpProtocol::tcp:
      return 20;
    case IpProtocol::udp:
      return 8;
    case IpProtocol::icmp:
    case IpProtocol::icmpv6:
      return 8;
  }
  return 0;
}

Result<void, IpDrop> parse_tcp(Bytes t, IpHeader& h) {
  const size_t header = size_t{t[12]} >> 4 << 2;
  if (header < 20 || header > t.size()) return drop(IpDrop::bad_length);
  h.tcp_flags = t[13];
  return {};
}

Result<void, IpDrop> parse_udp(Bytes t, const IpHeader& h) {
  const size_t length = load_be16(&t[4]);
  // A fragment holds only a part of what the length speaks of.
  const bool fits = h.fragment == Fragment::first ? length > t.size() : length == t.size();
  if (length < 8 || !fits) return drop(IpDrop::bad_length);
  return {};
}

Result<void, IpDrop> parse_transport(Bytes packet, IpHeader& h) {
  if (h.protocol == IpProtocol::tcp && h.fragment != Fragment::none) return drop(IpDrop::fragment);
  if (h.fragment == Fragment::later) return {};
  const Bytes t = packet.subspan(h.payload_at);
  const size_t need = transport_header_size(h.protocol);
  if (t.size() < need) return drop(h.fragment == Fragment::none ? IpDrop::truncated : IpDrop::fragment);
  switch (h.protocol) {
    case IpProtocol::tcp:
    case IpProtocol::udp:
      h.source_port = load_be16(&t[0]);
      h.destination_port = load_be16(&t[2]);
      return h.protocol == IpProtocol::tcp ? parse_tcp(t, h) : parse_udp(t, h);
    case IpProtocol::icmp:
    case IpProtocol::icmpv6:
      h.icmp_type = t[0];
      h.icmp_code = t[1];
      if (is_echo_request(h) || is_echo_reply(h)) h.source_port = h.destination_port = load_be16(&t[4]);
      return {};
  }
  return {};
}

Result<IpHeader, IpDrop> parse_v4(Bytes p) {
  if (p.size() < kHeader4) return drop(IpDrop::truncated);
  if ((p[0] & 15) != 5) return drop((p[0] & 15) < 5 ? IpDrop::bad_length : IpDrop::options);
  IpHeader h;
  h.size = load_be16(&p[2]);
  if (h.size < kHeader4 || h.size > p.size()) return drop(IpDrop::bad_length);
  if (internet_checksum(p.first(kHeader4)) != 0) return drop(IpDrop::bad_checksum);
  h.source = IpAddress::v4(load_be32(&p[12]));
  h.destination = IpAddress::v4(load_be32(&p[16]));
  h.protocol = static_cast<IpProtocol>(p[9]);
  h.hop_limit = p[8];
  h.payload_at = kHeader4;
  const uint16_t offset = load_be16(&p[6]) & 0x1fff;
  const bool more = (p[6] & 0x20) != 0;
  h.fragment = offset != 0 ? Fragment::later : more ? Fragment::first : Fragment::none;
  if (more && (h.size - kHeader4) % 8 != 0) return drop(IpDrop::fragment);
  if (size_t{offset} * 8 + h.size > 65535) return drop(IpDrop::fragment);
  TRY_VOID(parse_transport(p.first(h.size), h));
  return h;
}

// Steps over one extension header.
Result<void, IpDrop> parse_extension(Bytes p, uint8_t& next, size_t& at, IpHeader& h) {
  if (p.size() < at + 8) return drop(IpDrop::truncated);
  const uint8_t kind = std::exchange(next, p[at]);
  if (kind == kRouting) return drop(IpDrop::extension);
  if (kind != kFragmentHeader) {
    at += 8 + size_t{p[at + 1]} * 8;
    return at > p.size() ? Result<void, IpDrop>(drop(IpDrop::truncated)) : Result<void, IpDrop>();
  }
  if (h.fragment != Fragment::none) return drop(IpDrop::extension);
  const uint16_t word = load_be16(&p[at + 2]);
  const bool more = (word & 1) != 0;
  // Offset 0 without more is an atomic fragment (RFC 6946), which is a whole packet.
  h.fragment = word >> 3 != 0 ? Fragment::later : more ? Fragment::first : Fragment::none;
  at += 8;
  if (more && (p.size() - at) % 8 != 0) return drop(IpDrop::fragment);
  return {};
}

Result<IpHeader, IpDrop> parse_v6(Bytes p) {
  if (p.size() < kHeader6) return drop(IpDrop::truncated);
  IpHeader h;
  const size_t payload = load_be16(&p[4]);
  if (payload == 0 || kHeader6 + payload > p.size()) return drop(IpDrop::bad_length);
  h.size = static_cast<uint16_t>(kHeader6 + payload);
  if (kHeader6 + payload > 65535) return drop(IpDrop::bad_length);
  h.source = IpAddress::v6(*to_array<16>(p.subspan(8, 16)));
  h.destination = IpAddress::v6(*to_array<16>(p.subspan(24, 16)));
  h.hop_limit = p[7];
  uint8_t next = p[6];
  size_t at = kHeader6;
  for (unsigned i = 0;
       next == kHopByHop || next == kRouting || next == kFragmentHeader || next == kDestinationOptions; i++) {
    if (i == kMaxExtensions || (next == kHopByHop && i != 0)) return drop(IpDrop::extension);
    TRY_VOID(parse_extension(p.first(h.size), next, at, h));
    if (h.fragment == Fragment::later) break;  // what follows is data
  }
  h.protocol = static_cast<IpProtocol>(next);
  h.payload_at = static_cast<uint16_t>(at);
  TRY_VOID(parse_transport(p.first(h.size), h));
  return h;
}

}  // namespace

Result<IpHeader, IpDrop> parse_ip(Bytes packet) {
  if (packet.empty()) return drop(IpDrop::truncated);
  switch (packet[0] >> 4) {
    case 4:
      return parse_v4(packet);
    case 6:
      return parse_v6(packet);
    default:
      return drop(IpDrop::bad_version);
  }
}

bool is_echo_request(const IpHeader& h) {
  return h.has_transport() && h.icmp_code == 0 &&
         (h.is_v4() ? h.protocol == IpProtocol::icmp && h.icmp_type == 8
                    : h.protocol == IpProtocol::icmpv6 && h.icmp_type == 128);
}

bool is_echo_reply(const IpHeader& h) {
  return h.has_transport() && h.icmp_code == 0 &&
         (h.is_v4() ? h.protocol == IpProtocol::icmp && h.icmp_type == 0
                    : h.protocol == IpProtocol::icmpv6 && h.icmp_type == 129);
}

uint16_t internet_checksum(Bytes data, uint32_t initial) {
  return Checksum().add_word(static_cast<uint16_t>(initial >> 16)).add_word(static_cast<uint16_t>(initial)).add(data).complement();
}

uint32_t pseudo_header_sum(const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                           size_t length) {
  uint32_t sum = static_cast<uint32_t>(protocol) + static_cast<uint32_t>(length & 0xffff);
  for (const IpAddress* a : {&source, &destination})
    for (size_t i = 0; i < a->bytes().size(); i += 2) sum += load_be16(&a->bytes()[i]);
  return sum;
}

uint16_t updated_checksum(uint16_t checksum, Bytes before, Bytes after) {
  MV_ASSERT(before.size() == after.size() && before.size() % 2 == 0);
  uint32_t sum = static_cast<uint16_t>(~checksum);
  for (size_t i = 0; i < before.size(); i += 2) {
    sum += static_cast<uint16_t>(~load_be16(&before[i]));
    sum += load_be16(&after[i]);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

size_t checksum_offset(IpProtocol p) {
  switch (p) {
    case IpProtocol::tcp:
      return 16;
    case IpProtocol::udp:
      return 6;
    case IpProtocol::icmp:
    case IpProtocol::icmpv6:
      return 2;
  }
  return 0;
}

bool covers_pseudo_header(IpProtocol p) {
  return p != IpProtocol::icmp;
}

void seal_ipv4_header(MutBytes packet) {
  store_be16(&packet[10], 0);
  store_be16(&packet[10], internet_checksum(packet.first(kHeader4)));
}

}  // namespace macrovpn::routing
