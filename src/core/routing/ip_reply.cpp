#include "core/routing/ip_reply.h"

namespace macrovpn::routing {
namespace {

constexpr size_t kHeader4 = 20, kHeader6 = 40, kIcmpHeader = 8;
constexpr uint8_t kHopLimit = 64;

struct IcmpKind {
  uint8_t type, code;
};
IcmpKind kind_of(Unreachable u, bool v4) {
  switch (u) {
    case Unreachable::no_route:
      return v4 ? IcmpKind{3, 0} : IcmpKind{1, 0};
    case Unreachable::prohibited:
      return v4 ? IcmpKind{3, 13} : IcmpKind{1, 1};
    case Unreachable::host:
      return v4 ? IcmpKind{3, 1} : IcmpKind{1, 3};
    case Unreachable::port:
      return v4 ? IcmpKind{3, 3} : IcmpKind{1, 4};
  }
  return {};
}

bool is_multicast(const IpAddress& a) {
  return a.bytes()[0] == 0xff || (a.is_v4() && a.bytes()[0] >= 224);
}

bool deserves_an_error(const IpHeader& h) {
  if (h.fragment == Fragment::later || is_multicast(h.destination) || is_multicast(h.source)) return false;
  if (h.source.is_unspecified()) return false;
  if (h.protocol == IpProtocol::icmp || h.protocol == IpProtocol::icmpv6)
    return is_echo_request(h) || is_echo_reply(h);
  return true;
}

bool make_error(Bytes packet, const IpHeader& h, IcmpKind kind, uint32_t rest, const IpAddress& from,
                Packet& out) {
  if (!deserves_an_error(h)) return false;
  // RFC 1812: as much as fits 576 bytes; RFC 4443: as fits 1280.
  const size_t most = h.is_v4() ? 576 - kHeader4 - kIcmpHeader : 1280 - kHeader6 - kIcmpHeader;
  const Bytes quoted = packet.first(std::min<size_t>(h.size, most));
  const IpProtocol protocol = h.is_v4() ? IpProtocol::icmp : IpProtocol::icmpv6;
  const MutBytes t = start_ip(from, h.source, protocol, kIcmpHeader + quoted.size(), out);
  t[0] = kind.type;
  t[1] = kind.code;
  store_be32(&t[4], rest);
  std::copy(quoted.begin(), quoted.end(), t.begin() + kIcmpHeader);
  finish_ip(out);
  return true;
}

}  // namespace

bool make_unreachable(Bytes packet, const IpHeader& h, Unreachable why, const IpAddress& from, Packet& out) {
  return make_error(packet, h, kind_of(why, h.is_v4()), 0, from, out);
}

bool make_too_big(Bytes packet, const IpHeader& h, uint16_t mtu, const IpAddress& from, Packet& out) {
  return make_error(packet, h, h.is_v4() ? IcmpKind{3, 4} : IcmpKind{2, 0}, mtu, from, out);
}

bool make_tcp_reset(Bytes packet, const IpHeader& h, Packet& out) {
  if (h.protocol != IpProtocol::tcp || !h.has_transport() || (h.tcp_flags & kTcpRst) != 0) return false;
  const Bytes in = packet.subspan(h.payload_at, h.size - h.payload_at);
  const MutBytes t = start_ip(h.destination, h.source, IpProtocol::tcp, 20, out);
  store_be16(&t[0], h.destination_port);
  store_be16(&t[2], h.source_port);
  t[12] = 5 << 4;
  if ((h.tcp_flags & kTcpAck) != 0) {
    store_be32(&t[4], load_be32(&in[8]));  // what the other side expects next
    t[13] = kTcpRst;
  } else {
    const size_t data = in.size() - (size_t{in[12]} >> 4 << 2);
    const unsigned counted = ((h.tcp_flags & kTcpSyn) != 0 ? 1 : 0) + ((h.tcp_flags & kTcpFin) != 0 ? 1 : 0);
    store_be32(&t[8], load_be32(&in[4]) + static_cast<uint32_t>(data) + counted);
    t[13] = kTcpRst | kTcpAck;
  }
  finish_ip(out);
  return true;
}

bool make_tcp_end(Bytes packet, const IpHeader& h, Packet& out) {
  if (h.protocol != IpProtocol::tcp || !h.has_transport() || (h.tcp_flags & kTcpRst) != 0) return false;
  const Bytes in = packet.subspan(h.payload_at, h.size - h.payload_at);
  const MutBytes t = start_ip(h.source, h.destination, IpProtocol::tcp, 20, out);
  std::copy_n(in.begin(), 12, t.begin());  // ports and numbers
  t[12] = 5 << 4;
  t[13] = kTcpRst | (h.tcp_flags & kTcpAck);
  finish_ip(out);
  return true;
}

MutBytes start_ip(const IpAddress& source, const IpAddress& destination, IpProtocol protocol, size_t payload,
                  Packet& out) {
  MV_ASSERT(source.family() == destination.family());
  const size_t header = source.is_v4() ? kHeader4 : kHeader6;
  out.truncate(0);
  uint8_t* p = out.push_back(header + payload);
  std::fill_n(p, header + payload, uint8_t{0});
  if (source.is_v4()) {
    p[0] = 0x45;
    store_be16(p + 2, static_cast<uint16_t>(header + payload));
    p[6] = 0x40;  // don't fragment
    p[8] = kHopLimit;
    p[9] = static_cast<uint8_t>(protocol);
    std::copy(source.bytes().begin(), source.bytes().end(), p + 12);
    std::copy(destination.bytes().begin(), destination.bytes().end(), p + 16);
    seal_ipv4_header(out.bytes());
  } else {
    p[0] = 0x60;
    store_be16(p + 4, static_cast<uint16_t>(payload));
    p[6] = static_cast<uint8_t>(protocol);
    p[7] = kHopLimit;
    std::copy(source.bytes().begin(), source.bytes().end(), p + 8);
    std::copy(destination.bytes().begin(), destination.bytes().end(), p + 24);
  }
  return out.bytes().subspan(header);
}

void finish_ip(Packet& packet) {
  const MutBytes p = packet.bytes();
  const bool v4 = p[0] >> 4 == 4;
  const auto protocol = static_cast<IpProtocol>(v4 ? p[9] : p[6]);
  const MutBytes t = p.subspan(v4 ? kHeader4 : kHeader6);
  uint8_t* field = &t[checksum_offset(protocol)];
  store_be16(field, 0);
  uint32_t initial = 0;
  if (covers_pseudo_header(protocol)) {
    initial = static_cast<uint32_t>(protocol) + static_cast<uint32_t>(t.size());
    const Bytes addresses = v4 ? Bytes(p).subspan(12, 8) : Bytes(p).subspan(8, 32);
    for (size_t i = 0; i < addresses.size(); i += 2) initial += load_be16(&addresses[i]);
  }
  const uint16_t sum = internet_checksum(t, initial);
  store_be16(field, protocol == IpProtocol::udp && sum == 0 ? 0xffff : sum);
}

bool clamp_mss(MutBytes packet, const IpHeader& h, uint16_t mtu) {
  if (h.protocol != IpProtocol::tcp || !h.has_transport() || (h.tcp_flags & kTcpSyn) == 0) return false;
  const size_t headers = (h.is_v4() ? kHeader4 : kHeader6) + 20;
  if (mtu <= headers) return false;
  const auto most = static_cast<uint16_t>(mtu - headers);
  const MutBytes t = packet.subspan(h.payload_at, h.size - h.payload_at);
  const size_t end = size_t{t[12]} >> 4 << 2;
  for (size_t i = 20; i < end && t[i] != 0;) {
    if (t[i] == 1) {
      i++;
      continue;
    }
    if (i + 1 >= end || t[i + 1] < 2 || i + t[i + 1] > end) return false;
    if (t[i] == 2 && t[i + 1] == 4) {
      if (load_be16(&t[i + 2]) <= most) return false;
      // The option may start at an odd offset: update over the aligned words around it.
      const size_t first = (i + 2) & ~size_t{1}, size = ((i + 4 + 1) & ~size_t{1}) - first;
      ByteArray<4> before{};
      std::copy_n(t.begin() + static_cast<ptrdiff_t>(first), size, before.begin());
      store_be16(&t[i + 2], most);
      store_be16(&t[16], updated_checksum(load_be16(&t[16]), Bytes(before).first(size),
                                          Bytes(t).subspan(first, size)));
      return true;
    }
    i += t[i + 1];
  }
  return false;
}

}  // namespace macrovpn::routing
