// One end of a wire: reads whole frames from an interface and writes whole frames to it.
//
// Frames come through a TPACKET_V2 ring: an ordinary user may not raise a socket's receive buffer beyond rmem_max
// (about 180 frames), and a ring is not counted against it. V2 and not V3, because V3 hands over blocks on a timer of
// its own, which would be seen as delay.
#pragma once

#include <functional>

#include "packet_socket.h"
#include "wire.h"

namespace netlab {

class WireEnd {
 public:
  static constexpr std::size_t kSlotBytes = 2048;  // header and frame; larger frames mean that offloads are still on
  static constexpr std::size_t kSlots = 2048;

  explicit WireEnd(const std::string& interface);

  int descriptor() const { return socket_.get(); }

  // Moves what has arrived onto the wire.
  void receive_into(Wire& wire, Instant now);
  // Sends every frame of the wire whose time has come.
  void send_from(Wire& wire, Instant now);

  std::uint64_t oversized() const { return oversized_; }
  std::uint64_t not_sent() const { return not_sent_; }
  std::uint64_t dropped_by_kernel();

 private:
  std::string interface_;
  Descriptor socket_;
  Mapping ring_;
  std::size_t next_slot_ = 0;
  std::uint64_t oversized_ = 0;
  std::uint64_t not_sent_ = 0;
  std::uint64_t kernel_drops_ = 0;
};

}  // namespace netlab
