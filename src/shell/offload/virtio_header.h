// The header in front of each packet of a TUN or packet socket with offloads (virtio 1.2 §5.1.6; linux/virtio_net.h, which
// C++ cannot include, as it has a member called `class`).  Fields are in the machine's byte order.
//
//   with it, a packet may be a superpacket: one header and up to 64 KiB of payload, that stand for many packets ("segments")
//   of which each has this header, `segment_size` bytes of the payload (the last the rest), and lengths, numbers and
//   checksums of its own.  The checksum field then holds the sum of the pseudo header alone.
#pragma once
#include "base/bytes.h"

namespace macrovpn::shell {

struct VirtioHeader {
  static constexpr size_t kSize = 10;
  static constexpr uint8_t kNeedsChecksum = 1;  // in flags
  enum Type : uint8_t { kNone = 0, kTcp4 = 1, kTcp6 = 4, kUdp = 5, kEcn = 0x80 };

  uint8_t flags = 0;
  uint8_t type = kNone;
  uint16_t header_size = 0;      // a hint
  uint16_t segment_size = 0;     // of payload
  uint16_t checksum_start = 0;   // where the transport header begins
  uint16_t checksum_offset = 0;  // of the checksum, from there

  static VirtioHeader read(const uint8_t* p) {
    VirtioHeader h;
    h.flags = p[0];
    h.type = p[1];
    uint16_t* const fields[] = {&h.header_size, &h.segment_size, &h.checksum_start, &h.checksum_offset};
    for (size_t i = 0; i < 4; i++) std::memcpy(fields[i], p + 2 + 2 * i, 2);
    return h;
  }
  void write(uint8_t* p) const {
    p[0] = flags;
    p[1] = type;
    const uint16_t fields[] = {header_size, segment_size, checksum_start, checksum_offset};
    for (size_t i = 0; i < 4; i++) std::memcpy(p + 2 + 2 * i, &fields[i], 2);
  }
};

}  // namespace macrovpn::shell
