// Cutting a superpacket of the kernel (virtio_header.h) into the packets that it stands for.
//
// TCP: sequence numbers go on, FIN and PSH stay with the last segment and CWR with the first (RFC 3168 §6.1.2); UDP: each
// segment is a datagram.  IPv4 identifications count up.  All checksums are computed in full, as what leaves the tunnel must
// stand on any wire.
//
// Pure: what to copy where is the caller's, so that a device can read the parts of a superpacket straight to where its
// segments will stand.
#pragma once
#include <optional>

#include "base/checksum.h"
#include "shell/offload/virtio_header.h"

namespace macrovpn::shell {

// Headers are shorter than this, or the superpacket is refused: IPv6 with extensions and TCP with all options.
inline constexpr size_t kMaxHeaders = 192;
// A superpacket of more pieces is refused: it would cost far more than it carries.
inline constexpr size_t kMostSegments = 1024;

class Segmenter {
 public:
  // `front` holds the first bytes of a superpacket of `size` bytes; all of its headers must be among them.  Nothing: its
  // header contradicts it, or it is of a kind that was not asked for.
  static std::optional<Segmenter> plan(const VirtioHeader&, Bytes front, size_t size);

  size_t header_size() const { return header_size_; }    // that every segment begins with a copy of
  size_t payload_size() const { return payload_size_; }  // of every segment but the last
  size_t segments() const { return segments_; }
  size_t size_of(size_t segment) const {
    return header_size_ + (segment + 1 < segments_ ? payload_size_ : payload_ - (segments_ - 1) * payload_size_);
  }

  // `packet`: the superpacket's headers and this segment's payload, size_of(segment) bytes.
  void finish(size_t segment, MutBytes packet) const;

 private:
  bool tcp_ = true, v4_ = true;
  size_t transport_at_ = 0, header_size_ = 0, payload_size_ = 0, payload_ = 0, segments_ = 0;
  Checksum pseudo_;  // without the length
};

// A packet that is no superpacket, whose checksum the kernel left to us.  False: the header points outside of it.
bool complete_checksum(const VirtioHeader&, MutBytes packet);

}  // namespace macrovpn::shell
