#include "core/encryption/allowed_ips.h"

namespace macrovpn::encryption {

bool AllowedIps::insert(const IpPrefix& prefix, PeerRef peer) {
  const IpPrefix p = IpPrefix::of(prefix.address, prefix.length);
  auto& level = of(p.address.family())[p.length];
  const auto at = level.find(p.address);
  if (at != level.end()) {
    at->second = peer;
    return true;
  }
  if (size_ >= kMaxPrefixes) return false;
  level.emplace(p.address, peer);
  size_++;
  return true;
}

void AllowedIps::remove(PeerRef peer) {
  for (ByLength* family : {&v4_, &v6_}) {
    for (auto& [length, level] : *family) {
      size_ -= std::erase_if(level, [&](const auto& entry) { return entry.second == peer; });
    }
    std::erase_if(*family, [](const auto& level) { return level.second.empty(); });
  }
}

PeerRef AllowedIps::find(const IpAddress& a) const {
  for (const auto& [length, level] : of(a.family())) {
    const auto at = level.find(IpPrefix::of(a, length).address);
    if (at != level.end()) return at->second;
  }
  return {};
}

std::optional<InnerPacket> parse_inner_packet(Bytes b) {
  if (b.size() >= 20 && b[0] >> 4 == 4) {
    const size_t length = load_be16(&b[2]);
    const size_t header = size_t{b[0]} % 16 * 4;
    if (header < 20 || length < header || length > b.size()) return std::nullopt;
    return InnerPacket{IpAddress::v4(*to_array<4>(b.subspan(12, 4))),
                       IpAddress::v4(*to_array<4>(b.subspan(16, 4))), length};
  }
  if (b.size() >= 40 && b[0] >> 4 == 6) {
    const size_t length = size_t{load_be16(&b[4])} + 40;
    if (length > b.size()) return std::nullopt;
    return InnerPacket{IpAddress::v6(*to_array<16>(b.subspan(8, 16))),
                       IpAddress::v6(*to_array<16>(b.subspan(24, 16))), length};
  }
  return std::nullopt;
}

}  // namespace macrovpn::encryption
