// The one source of randomness.  Production: the operating system's (shell/os_rng.h).  Tests and the
// simulator: SeededRng, whose every draw follows from the seed.
#pragma once
#include "base/bytes.h"
#include "base/time.h"

namespace macrovpn {

class Rng {
 public:
  virtual ~Rng() = default;
  virtual void fill(MutBytes out) = 0;

  uint32_t u32();
  uint64_t u64();
  uint64_t below(uint64_t bound);              // uniform in [0, bound), bound > 0, without modulo bias
  Duration between(Duration lo, Duration hi);  // uniform in [lo, hi]
  template <size_t N>
  ByteArray<N> bytes() {
    ByteArray<N> out;
    fill(out);
    return out;
  }
};

// SplitMix64 (Steele, Lea, Flood 2014).  Deterministic; never for keys that protect anybody.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(uint64_t seed) : state_(seed) {}
  void fill(MutBytes out) override;

 private:
  uint64_t next();
  uint64_t state_;
};

}  // namespace macrovpn
