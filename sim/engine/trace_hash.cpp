#include "sim/engine/trace_hash.h"

namespace macrovpn::sim {

uint64_t digest_of(Bytes b) {
  uint64_t h = b.size() * 0x9e3779b97f4a7c15 ^ 0x2d358dccaa6c78a5;
  size_t i = 0;
  for (; i + 16 <= b.size(); i += 16) {
    h = folded_product(load_le64(&b[i]) ^ 0x8bb84b93962eacc9, load_le64(&b[i + 8]) ^ h);
  }
  ByteArray<16> rest{};
  std::copy(b.begin() + static_cast<ptrdiff_t>(i), b.end(), rest.begin());
  return folded_product(load_le64(rest.data()) ^ h, load_le64(rest.data() + 8) ^ 0x4b33a62ed433d4a3);
}

}  // namespace macrovpn::sim
