#include "core/encryption/replay_window.h"

#include <algorithm>

#include "base/assert.h"

namespace macrovpn::encryption {

bool ReplayWindow::accept(uint64_t counter) {
  if (counter >= end_) {
    advance_to(counter);
  } else if (counter < floor_) {
    if (end_ - counter <= kMax && end_ - counter > capacity() - 64) grow(capacity() * 2);
    return false;
  }
  uint64_t& word = word_of(counter);
  const uint64_t bit = uint64_t{1} << counter % 64;
  const bool fresh = (word & bit) == 0;
  word |= bit;
  return fresh;
}

void ReplayWindow::advance_to(uint64_t counter) {
  while (counter >= capacity() && capacity() < eager_) grow(capacity() * 2);
  // The words after the one of the last counter, up to the new one's, begin anew: at most once round the
  // ring.
  const uint64_t last_word = end_ == 0 ? 0 : (end_ - 1) / 64;
  const uint64_t fresh_words = std::min<uint64_t>(counter / 64 - last_word, words_.size());
  for (uint64_t i = 0; i < fresh_words; i++) ring(counter / 64 - i) = 0;
  end_ = counter + 1;
  const uint64_t first_word = counter / 64 + 1 - std::min<uint64_t>(counter / 64 + 1, words_.size());
  floor_ = std::max(floor_, first_word * 64);
}

// Moves the live words to their places in the larger ring.
void ReplayWindow::grow(std::size_t bits) {
  if (bits > kMax || bits <= capacity()) return;
  std::vector<uint64_t> larger(bits / 64);
  if (end_ > 0) {
    for (uint64_t w = floor_ / 64; w <= (end_ - 1) / 64; w++) {
      larger[w & (larger.size() - 1)] = ring(w);
    }
  }
  words_.swap(larger);
}

}  // namespace macrovpn::encryption
