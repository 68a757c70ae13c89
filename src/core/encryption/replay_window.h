// ReplayWindow: which counters of a session were seen (RFC 6479: a ring of words, whole words cleared on
// advance).
//
// It is as large as is needed: a relay holds thousands, most of them of circuits that carry little.  It
// starts with 64 counters, keeps up with the highest counter until `eager` and beyond that doubles only when
// a late packet misses it, up to 8192.  What it does not know it refuses: after growth, counters that the
// smaller window had forgotten count as seen, so growing loses a few late packets once and never lets a
// replay in.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace macrovpn::encryption {

class ReplayWindow {
 public:
  static constexpr std::size_t kFirst = 64;
  static constexpr std::size_t kEagerSmall = 1024;  // a relay's client: covers the reordering of a burst
  static constexpr std::size_t kMax = 8192;         // as the Linux kernel

  explicit ReplayWindow(std::size_t eager) : eager_(static_cast<uint32_t>(eager)) {}
  // Whether the counter is new; marks it seen.  Only for packets that authenticated.
  bool accept(uint64_t counter);
  std::size_t capacity() const { return words_.size() * 64; }

 private:
  void advance_to(uint64_t counter);
  void grow(std::size_t bits);
  // Sizes are powers of two, and a division for each packet is not.
  uint64_t& ring(uint64_t word) { return words_[word & (words_.size() - 1)]; }
  uint64_t& word_of(uint64_t counter) { return ring(counter / 64); }

  std::vector<uint64_t> words_ = std::vector<uint64_t>(1);
  uint64_t end_ = 0;    // one above the highest counter seen
  uint64_t floor_ = 0;  // counters below are refused
  uint32_t eager_;
};

}  // namespace macrovpn::encryption
