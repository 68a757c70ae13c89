// Making superpackets (virtio_header.h) of packets that follow each other in a flow: what segment.h does, backwards.  The
// kernel then works once for many packets.
//
// Only what cutting would restore is put together, as in the kernel's own GRO: TCP segments in sequence with equal headers
// (options, acknowledgement, window; ACK and PSH alone among the flags), UDP datagrams of one size, of which the last may be
// shorter; neither fragments nor IPv4 options; checksums verified, since the kernel will not look at them again.  Packets of
// a flow keep their order.
#pragma once
#include <sys/uio.h>

#include <span>
#include <vector>

#include "base/packet.h"

namespace macrovpn::shell {

class Coalescer {
 public:
  static constexpr size_t kMostFlows = 16;  // looked through for a packet's flow; more than these coalesce less

  // Which kinds the device takes.
  enum class Udp : uint8_t { apart, together };
  explicit Coalescer(Udp udp = Udp::apart) : udp_(udp) {}

  // Plans the writes of a batch: IP packets without padding, with VirtioHeader::kSize of headroom.  They must stay until
  // the writes are done; the headers of some are changed.
  void plan(std::span<Packet> batch);
  size_t writes() const { return groups_.size(); }
  // One write(2): a virtio header, the first packet, payloads of those that follow.  Valid until the next call.
  std::span<const iovec> write(size_t n);
  // Where the kernel refused that one: its packets as they came, an iovec each, without virtio headers.  write(n) is gone then.
  std::span<const iovec> apart(size_t n);
  size_t packets_of(size_t n) const { return groups_[n].count; }
  size_t bytes_of(size_t n) const { return groups_[n].size; }  // of the one packet that is written

 private:
  static constexpr uint32_t kNobody = UINT32_MAX;
  struct Group {
    uint32_t first = 0, last = 0, count = 1;
    uint16_t ip_header = 0, headers = 0;  // 0: no candidate
    uint16_t segment = 0;                 // payload of the first
    uint32_t size = 0;                    // of the superpacket
    uint32_t next_sequence = 0;
    bool tcp = false, open = false, verified = false;
  };
  struct Flow {
    uint64_t key = 0;
    uint32_t group = kNobody;  // its newest
  };
  static Group classify(Bytes packet, bool udp_together);
  Flow& flow_of(const Group& candidate, Bytes packet);
  bool join(Group&, const Group& candidate, uint32_t index);
  void finish(Group&);
  void undo(Group&);
  Bytes packet(uint32_t index) const { return batch_[index].bytes(); }

  Udp udp_;
  std::span<Packet> batch_;
  std::vector<Group> groups_;
  std::vector<uint32_t> next_;  // of each packet, in its group
  std::vector<Flow> flows_;
  size_t oldest_flow_ = 0;
  std::vector<iovec> parts_;
};

}  // namespace macrovpn::shell
