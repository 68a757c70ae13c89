// The Internet checksum (RFC 1071), fast enough for every byte of a gigabit stream.
//
// A Sum is the sum of 16-bit words, not yet folded; sums of parts add up, if every part but the last has an even size.
// It is kept in the byte order of the machine, since the order does not matter to a one's complement sum (RFC 1071
// §2(B)), and turned round once, at the end.
#pragma once
#include <bit>

#include "base/bytes.h"

namespace macrovpn {

class Checksum {
 public:
  Checksum() = default;
  Checksum& add(Bytes part);
  // A 16-bit word as it would stand in the packet.
  Checksum& add_word(uint16_t word) {
    sum_ += swapped(word);
    return *this;
  }
  // The folded sum in host order, for a pseudo header's partial checksum.
  uint16_t folded() const;
  // The complement, ready to be stored; 0 over data that holds its own.
  uint16_t complement() const { return static_cast<uint16_t>(~folded()); }

 private:
  static uint16_t swapped(uint16_t v) {
    return std::endian::native == std::endian::little ? static_cast<uint16_t>(v << 8 | v >> 8) : v;
  }
  uint64_t sum_ = 0;
};

}  // namespace macrovpn
