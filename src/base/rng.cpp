#include "base/rng.h"

namespace macrovpn {

uint32_t Rng::u32() {
  return load_le32(bytes<4>().data());
}
uint64_t Rng::u64() {
  return load_le64(bytes<8>().data());
}

uint64_t Rng::below(uint64_t bound) {
  MV_ASSERT(bound > 0);
  const uint64_t reject_under = (0 - bound) % bound;
  for (;;) {
    const uint64_t v = u64();
    if (v >= reject_under) return v % bound;
  }
}

Duration Rng::between(Duration lo, Duration hi) {
  MV_ASSERT(lo <= hi);
  return lo + Duration(static_cast<int64_t>(below(static_cast<uint64_t>((hi - lo).count()) + 1)));
}

uint64_t SeededRng::next() {
  uint64_t z = state_ += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

void SeededRng::fill(MutBytes out) {
  for (size_t i = 0; i < out.size(); i += 8) {
    ByteArray<8> b;
    store_le64(b.data(), next());
    std::copy_n(b.begin(), std::min<size_t>(8, out.size() - i), out.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

}  // namespace macrovpn
