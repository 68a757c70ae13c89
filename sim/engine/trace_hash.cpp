#include "sim/engine/trace_hash.h"

#include <bit>

namespace macrovpn::sim {
namespace {

// load_le64() byte by byte, which builds for debugging make of it, are slow.
uint64_t word(const uint8_t* p) {
  if constexpr (std::endian::native != std::endian::little) return load_le64(p);
  uint64_t v = 0;
  std::memcpy(&v, p, sizeof v);
  return v;
}

}  // namespace

uint64_t digest_of(Bytes b) {
  uint64_t h = b.size() * 0x9e3779b97f4a7c15 ^ 0x2d358dccaa6c78a5;
  size_t i = 0;
  for (; i + 16 <= b.size(); i += 16) {
    h = folded_product(word(&b[i]) ^ 0x8bb84b93962eacc9, word(&b[i + 8]) ^ h);
  }
  ByteArray<16> rest{};
  std::copy(b.begin() + static_cast<ptrdiff_t>(i), b.end(), rest.begin());
  return folded_product(word(rest.data()) ^ h, word(rest.data() + 8) ^ 0x4b33a62ed433d4a3);
}

}  // namespace macrovpn::sim
