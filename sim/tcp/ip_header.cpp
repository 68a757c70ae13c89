#include "sim/tcp/ip_header.h"

#include "base/checksum.h"

namespace macrovpn::sim {

void write_ip_header(const IpAddress& source, const IpAddress& destination, routing::IpProtocol protocol, size_t transport, uint8_t* p) {
  MV_ASSERT(source.family() == destination.family());
  if (source.is_v4()) {
    std::fill_n(p, 20, uint8_t{0});
    p[0] = 0x45;
    store_be16(p + 2, static_cast<uint16_t>(20 + transport));
    p[6] = 0x40;  // don't fragment
    p[8] = 64;
    p[9] = static_cast<uint8_t>(protocol);
    std::copy_n(source.bytes().begin(), 4, p + 12);
    std::copy_n(destination.bytes().begin(), 4, p + 16);
    routing::seal_ipv4_header({p, 20});
    return;
  }
  std::fill_n(p, 8, uint8_t{0});
  p[0] = 0x60;
  store_be16(p + 4, static_cast<uint16_t>(transport));
  p[6] = static_cast<uint8_t>(protocol);
  p[7] = 64;
  std::copy_n(source.bytes().begin(), 16, p + 8);
  std::copy_n(destination.bytes().begin(), 16, p + 24);
}

uint16_t transport_checksum(Bytes packet, routing::IpProtocol protocol) {
  const bool v4 = packet[0] >> 4 == 4;
  const Bytes transport = packet.subspan(v4 ? 20 : 40);
  return Checksum()
      .add(v4 ? packet.subspan(12, 8) : packet.subspan(8, 32))
      .add_word(static_cast<uint16_t>(protocol))
      .add_word(static_cast<uint16_t>(transport.size()))
      .add(transport)
      .complement();
}

}  // namespace macrovpn::sim
