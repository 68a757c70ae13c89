// Words of 32 bits are added into lanes of 64, so nothing overflows and no carry is looked at until the end.  The loop is
// compiled for each width of vector that processors have and the right one is taken when the program starts: 1400 bytes
// take 20 ns with vectors of 64 bytes, 500 ns in 16-bit steps.
#include "base/checksum.h"

namespace macrovpn {
namespace {

constexpr size_t kLane = 64;
typedef uint64_t Vector __attribute__((vector_size(kLane)));

#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MACROVPN_PER_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define MACROVPN_PER_PROCESSOR
#endif

// blocks of kLane bytes
MACROVPN_PER_PROCESSOR
uint64_t sum_blocks(const uint8_t* p, size_t blocks) {
  Vector low{}, high{};
  for (size_t i = 0; i < blocks; i++) {
    Vector v;
    std::memcpy(&v, p + i * kLane, kLane);
    low += v & 0xffffffff;
    high += v >> 32;
  }
  low += high;
  uint64_t sum = 0;
  for (size_t i = 0; i < kLane / 8; i++) sum += low[i];
  return sum;
}

}  // namespace

Checksum& Checksum::add(Bytes part) {
  const size_t blocks = part.size() / kLane;
  if (blocks != 0) sum_ += sum_blocks(part.data(), blocks);
  Bytes rest = part.subspan(blocks * kLane);
  for (; rest.size() >= 8; rest = rest.subspan(8)) {
    uint64_t words = 0;
    std::memcpy(&words, rest.data(), 8);
    sum_ += (words & 0xffffffff) + (words >> 32);
  }
  if (rest.size() >= 4) {
    uint32_t words = 0;
    std::memcpy(&words, rest.data(), 4);
    sum_ += words;
    rest = rest.subspan(4);
  }
  uint16_t word = 0;
  if (rest.size() >= 2) {
    std::memcpy(&word, rest.data(), 2);
    sum_ += word;
    rest = rest.subspan(2);
  }
  if (!rest.empty()) {
    word = 0;
    std::memcpy(&word, rest.data(), 1);
    sum_ += word;
  }
  return *this;
}

uint16_t Checksum::folded() const {
  uint64_t s = sum_;
  while (s >> 16 != 0) s = (s & 0xffff) + (s >> 16);
  return swapped(static_cast<uint16_t>(s));
}

}  // namespace macrovpn
