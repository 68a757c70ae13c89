#include "base/secret.h"

namespace macrovpn {

void wipe(void* p, size_t n) {
  std::memset(p, 0, n);
  asm volatile("" : : "r"(p) : "memory");
}

bool equal_constant_time(Bytes a, Bytes b) {
  if (a.size() != b.size()) return false;
  uint64_t diff = 0;
  size_t i = 0;
  for (; i + 8 <= a.size(); i += 8) diff |= load_le64(&a[i]) ^ load_le64(&b[i]);
  for (; i < a.size(); i++) diff |= a[i] ^ b[i];
  return diff == 0;
}

}  // namespace macrovpn
