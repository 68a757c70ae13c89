// Streams: one 64-bit seed, split by name.  Each part of a world draws from a stream of its own, so that one more actor, or one
// more draw of a link, leaves all others as they were: what changes between two runs is what was changed.
#pragma once
#include <string_view>

#include "base/rng.h"

namespace macrovpn::sim {

class Streams {
 public:
  explicit Streams(uint64_t seed) : seed_(seed) {}
  uint64_t seed() const { return seed_; }
  // The same name gives the same stream from its beginning.
  SeededRng of(std::string_view name) const { return SeededRng(seed_of(name, 0)); }
  SeededRng of(std::string_view name, uint64_t number) const { return SeededRng(seed_of(name, number + 1)); }

 private:
  uint64_t seed_of(std::string_view name, uint64_t number) const;
  uint64_t seed_;
};

}  // namespace macrovpn::sim
