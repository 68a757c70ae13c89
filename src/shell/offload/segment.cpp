#include "shell/offload/segment.h"

namespace macrovpn::shell {
namespace {

constexpr size_t kTcpHeader = 20, kUdpHeader = 8, kIp4Header = 20, kIp6Header = 40;
constexpr uint8_t kTcp = 6, kUdp = 17;
constexpr uint8_t kFin = 0x01, kPsh = 0x08, kCwr = 0x80;

Checksum pseudo_header(Bytes front, bool v4, uint8_t protocol) {
  Checksum c;
  c.add(v4 ? front.subspan(12, 8) : front.subspan(8, 32)).add_word(protocol);
  return c;
}

}  // namespace

std::optional<Segmenter> Segmenter::plan(const VirtioHeader& h, Bytes front, size_t size) {
  const uint8_t type = h.type & static_cast<uint8_t>(~VirtioHeader::kEcn);
  if (front.empty() || (type != VirtioHeader::kTcp4 && type != VirtioHeader::kTcp6 && type != VirtioHeader::kUdp)) return {};
  Segmenter s;
  s.tcp_ = type != VirtioHeader::kUdp;
  s.v4_ = front[0] >> 4 == 4;
  if (!s.v4_ && front[0] >> 4 != 6) return {};
  if (s.tcp_ && s.v4_ != (type == VirtioHeader::kTcp4)) return {};
  s.transport_at_ = h.checksum_start;
  if (s.transport_at_ < (s.v4_ ? kIp4Header : kIp6Header)) return {};
  const size_t least = s.transport_at_ + (s.tcp_ ? kTcpHeader : kUdpHeader);
  if (h.segment_size == 0 || least > front.size() || least > size) return {};
  const size_t transport = s.tcp_ ? size_t{front[s.transport_at_ + 12]} >> 4 << 2 : kUdpHeader;
  s.header_size_ = s.transport_at_ + transport;
  if (s.header_size_ < least || s.header_size_ > kMaxHeaders || s.header_size_ > front.size() || s.header_size_ >= size)
    return {};
  s.payload_size_ = h.segment_size;
  s.payload_ = size - s.header_size_;
  s.segments_ = (s.payload_ + s.payload_size_ - 1) / s.payload_size_;
  if (s.segments_ > kMostSegments || s.header_size_ + s.payload_size_ > 0xffff) return {};
  s.pseudo_ = pseudo_header(front, s.v4_, s.tcp_ ? kTcp : kUdp);
  return s;
}

void Segmenter::finish(size_t segment, MutBytes packet) const {
  MV_ASSERT(packet.size() == size_of(segment));
  uint8_t* ip = packet.data();
  uint8_t* transport = ip + transport_at_;
  if (v4_) {
    store_be16(ip + 2, static_cast<uint16_t>(packet.size()));
    store_be16(ip + 4, static_cast<uint16_t>(load_be16(ip + 4) + segment));
    store_be16(ip + 10, 0);
    const size_t ip_header = std::min<size_t>(size_t{ip[0] & 15u} << 2, transport_at_);
    store_be16(ip + 10, Checksum().add(packet.first(ip_header)).complement());
  } else {
    store_be16(ip + 4, static_cast<uint16_t>(packet.size() - kIp6Header));
  }
  const auto length = static_cast<uint16_t>(packet.size() - transport_at_);
  uint8_t* field = transport + (tcp_ ? 16 : 6);
  if (tcp_) {
    store_be32(transport + 4, static_cast<uint32_t>(load_be32(transport + 4) + segment * payload_size_));
    if (segment + 1 != segments_) transport[13] &= static_cast<uint8_t>(~(kFin | kPsh));
    if (segment != 0) transport[13] &= static_cast<uint8_t>(~kCwr);
  } else {
    store_be16(transport + 4, length);
  }
  store_be16(field, 0);
  Checksum sum = pseudo_;
  const uint16_t checksum = sum.add_word(length).add(packet.subspan(transport_at_)).complement();
  store_be16(field, !tcp_ && checksum == 0 ? 0xffff : checksum);  // in UDP, 0 means "none"
}

bool complete_checksum(const VirtioHeader& h, MutBytes packet) {
  if ((h.flags & VirtioHeader::kNeedsChecksum) == 0) return true;
  const size_t at = size_t{h.checksum_start} + h.checksum_offset;
  if (at + 2 > packet.size()) return false;
  // The field holds the pseudo header's sum, so the sum over all is the whole one.
  const uint16_t checksum = Checksum().add(packet.subspan(h.checksum_start)).complement();
  const bool udp = h.checksum_offset == 6;
  store_be16(packet.data() + at, udp && checksum == 0 ? 0xffff : checksum);
  return true;
}

}  // namespace macrovpn::shell
