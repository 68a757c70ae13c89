// TraceHash: a running 64-bit hash over everything that happened.  Two runs with the same hash did the same; the first place
// where two runs differ is found by running both with --trace.
//
// Integers only, the same on every machine and in every build.  Not cryptographic: nobody attacks it.
#pragma once
#include "base/bytes.h"

namespace macrovpn::sim {

// The multiplication of wyhash (Wang Yi, public domain): both halves of the product, folded.
inline uint64_t folded_product(uint64_t a, uint64_t b) {
  // 64 by 64 bits in four parts: the language has no wider integer without extensions.
  const uint64_t a0 = a & 0xffffffff, a1 = a >> 32, b0 = b & 0xffffffff, b1 = b >> 32;
  const uint64_t low = a0 * b0, mid1 = a1 * b0, mid2 = a0 * b1, high = a1 * b1;
  const uint64_t carry = ((low >> 32) + (mid1 & 0xffffffff) + (mid2 & 0xffffffff)) >> 32;
  return (a * b) ^ (high + (mid1 >> 32) + (mid2 >> 32) + carry);
}

uint64_t digest_of(Bytes);

class TraceHash {
 public:
  void add(uint64_t v) {
    state_ = folded_product(state_ ^ v, 0xa0761d6478bd642f) + ++count_ * 0xe7037ed1a0b428db;
  }
  uint64_t value() const { return folded_product(state_ ^ count_, 0x8ebc6af09c88c6e3); }
  uint64_t count() const { return count_; }

 private:
  uint64_t state_ = 0x589965cc75374cc3;
  uint64_t count_ = 0;
};

}  // namespace macrovpn::sim
