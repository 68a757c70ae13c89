#include "core/routing/dns_stream.h"

namespace macrovpn::routing {

std::vector<uint8_t> frame_dns(Bytes message) {
  MV_ASSERT(message.size() <= kDnsLargestFramed - 2);
  std::vector<uint8_t> out;
  out.reserve(2 + message.size());
  Writer(out).be16(static_cast<uint16_t>(message.size())).bytes(message);
  return out;
}

std::optional<Bytes> first_framed_dns(Bytes stream) {
  if (stream.size() < 2) return std::nullopt;
  const size_t size = load_be16(stream.data());
  if (stream.size() - 2 < size) return std::nullopt;
  return stream.subspan(2, size);
}

}  // namespace macrovpn::routing
