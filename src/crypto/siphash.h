// SipHash-2-4 with 128 bits of output (Aumasson, Bernstein 2012): a keyed hash of short inputs, 20 ns.  libsodium's.
#pragma once
#include "base/bytes.h"

namespace macrovpn::crypto {

struct Sip128 {
  uint64_t low = 0, high = 0;
  auto operator<=>(const Sip128&) const = default;
};
Sip128 siphash128(const ByteArray<16>& key, Bytes);

}  // namespace macrovpn::crypto
