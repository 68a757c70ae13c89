// Sees every frame on one interface, both directions, and writes it to a pcap file.
//
// A TPACKET_V3 ring, with a one-instruction filter that makes the kernel keep only the first bytes of each frame: the
// ring then holds ten times as many, and a burst of small frames does not overrun it.
#pragma once

#include "packet_socket.h"
#include "pcap_file.h"

namespace netlab {

class Tap {
 public:
  static constexpr std::size_t kBlockBytes = 1U << 18U;
  // A half-full block is handed over after this long; so this is how late a frame can reach the file.
  static constexpr unsigned kHandoverMilliseconds = 20;

  struct Options {
    std::uint32_t snap_length;
    std::uint32_t ring_mib;
  };
  Tap(const std::string& interface, const std::string& path, Options options);

  int descriptor() const { return socket_.get(); }
  const std::string& interface() const { return interface_; }

  // Writes the blocks that the kernel has handed over; at most one turn of the ring.
  void drain();

  struct Totals {
    std::uint64_t frames;
    std::uint64_t drops;  // by the kernel, because the ring was full
  };
  Totals totals();

 private:
  void write_block(std::uint8_t* block);

  std::string interface_;
  std::size_t blocks_;
  Descriptor socket_;
  Mapping ring_;
  PcapFile file_;
  std::size_t next_block_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t drops_ = 0;
};

}  // namespace netlab
