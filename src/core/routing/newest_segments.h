// NewestSegments: the headers of the newest large segment of each of a few TCP connections, kept so that its sender can be
// told that the path became narrower without waiting for it to send again, which after a while of silence it does ever more
// rarely (RFC 6298 §5.5).  A sender believes "too big" of what it has sent and not seen answered; of anything else it is
// ignored, so that it does no harm when the connection has gone on or has ended.
//
// Bounded: the newest kFlows connections; with more, the others find out by themselves.  Never written down.
#pragma once
#include <array>

#include "base/bytes.h"

namespace macrovpn::routing {

class NewestSegments {
 public:
  static constexpr size_t kFlows = 8;
  static constexpr size_t kLarge = 576;  // what is no larger passes everywhere

  // Any IP packet.  Cheap, as it is called for every one.
  void on_packet(Bytes packet) {
    if (packet.size() > kLarge) remember(packet);
  }
  // Those larger than `mtu`, each cut to its headers: a whole packet of its own, without data.
  template <class F>
  void each_larger_than(size_t mtu, F f) const {
    for (const Segment& s : segments_) {
      if (s.size > mtu) f(Bytes(s.headers).first(s.header_size));
    }
  }

 private:
  static constexpr size_t kMost = 60;  // IPv6 and TCP
  struct Segment {
    size_t size = 0;  // that it had; 0: none
    size_t header_size = 0;
    ByteArray<kMost> headers{};
  };
  void remember(Bytes packet);

  std::array<Segment, kFlows> segments_;
  size_t last_ = 0;
};

}  // namespace macrovpn::routing
