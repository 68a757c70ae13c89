// Reading many packets in one call to where they will stand.
//
// The kernel hands over a train of datagrams (UDP_GRO) or a superpacket (virtio_header.h) as one run of bytes, which has to be
// spread over packets with room around each.  Copying is avoided by guessing: the buffers are laid out as they were right for
// the last read.
//
//   guess      header H, segment S     slot 0: H+S bytes | slot 1, after room for a header: S | ... | spill: what does not fit
//   a wrong guess costs a copy; nothing is lost, as the spill holds the largest run there is
#pragma once
#include <sys/uio.h>

#include <span>
#include <vector>

#include "base/packet.h"

namespace macrovpn::shell {

class Scatter {
 public:
  static constexpr size_t kLongest = 0xffff;
  static constexpr size_t kSpill = kLongest + 1;

  // Buffers for one read.  `spill`: kSpill bytes, the caller's, until cut().  header + segment <= kPacketMax.
  void offer(PacketPool& pool, size_t slots, size_t header, size_t segment, uint8_t* spill);
  void append_to(std::vector<iovec>& out) const;
  // The first bytes of what was read, `size` in all: at least a slot's, or all.
  Bytes front(size_t size) const;

  // What was read is one header and a payload, the latter in pieces of `segment`: a packet for each piece, the header in
  // front of the first alone and its place kept before the others.  They are appended to `out`; at most kLongest / segment,
  // none if they are longer than packets may be.  Slots that were not needed go back to the pool.
  void cut(PacketPool& pool, size_t size, size_t header, size_t segment, std::vector<Packet>& out);
  void give_back() { slots_.clear(); }

 private:
  void copy(PacketPool& pool, size_t size, size_t header, size_t segment, std::vector<Packet>& out);

  std::vector<Packet> slots_;
  size_t header_ = 0, segment_ = 0;
  uint8_t* spill_ = nullptr;
};

}  // namespace macrovpn::shell
