// TraceHash: a running 64-bit hash over everything that happened.  Two runs with the same hash did the same; the first place
// where two runs differ is found by running both with --trace.
//
// Integers only, the same on every machine and in every build.  Not cryptographic: nobody attacks it.
#pragma once
#include "base/bytes.h"

namespace macrovpn::sim {

// The multiplication of wyhash (Wang Yi, public domain): both halves of the product, folded.
inline uint64_t folded_product(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;  // GCC's and clang's, on all 64-bit machines
  const Wide product = Wide{a} * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
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
