#include "sim/load/udp.h"

#include "sim/tcp/ip_header.h"

namespace macrovpn::sim {
namespace {

constexpr size_t kUdpHeader = 8;

}  // namespace

std::optional<UdpDatagram> read_udp(Bytes packet) {
  const auto h = routing::parse_ip(packet);
  if (!h || h->protocol != routing::IpProtocol::udp || h->fragment != routing::Fragment::none) return std::nullopt;
  const size_t ip = ip_header_size(h->source.family());
  if (h->payload_at != ip || transport_checksum(packet.first(h->size), routing::IpProtocol::udp) != 0) return std::nullopt;
  return UdpDatagram{{h->source, h->source_port}, {h->destination, h->destination_port}, packet.first(h->size).subspan(ip + kUdpHeader)};
}

MutBytes write_udp(const UdpDatagram& d, MutBytes out) {
  const size_t ip = ip_header_size(d.source.address.family()), transport = kUdpHeader + d.payload.size();
  MV_ASSERT(ip + transport <= out.size());
  uint8_t* const p = out.data();
  write_ip_header(d.source.address, d.destination.address, routing::IpProtocol::udp, transport, p);
  store_be16(p + ip, d.source.port);
  store_be16(p + ip + 2, d.destination.port);
  store_be16(p + ip + 4, static_cast<uint16_t>(transport));
  store_be16(p + ip + 6, 0);
  std::copy(d.payload.begin(), d.payload.end(), p + ip + kUdpHeader);
  const uint16_t sum = transport_checksum(out.first(ip + transport), routing::IpProtocol::udp);
  store_be16(p + ip + 6, sum == 0 ? 0xffff : sum);
  return out.first(ip + transport);
}

}  // namespace macrovpn::sim
