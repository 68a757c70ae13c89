// Counted at malloc and its relatives, so that libraries are seen too: a program's own definitions take the place of glibc's.
#include "sim/engine/memory_meter.h"

#include <malloc.h>

#include <cerrno>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

namespace macrovpn::sim {
int64_t bytes_held() { return 0; }
bool memory_is_metered() { return false; }
}  // namespace macrovpn::sim

#else

namespace {
int64_t held = 0;  // one thread: the simulator has no other

void* counted(void* p) {
  if (p != nullptr) held += static_cast<int64_t>(malloc_usable_size(p));
  return p;
}
}  // namespace

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

void* malloc(size_t n) { return counted(__libc_malloc(n)); }
void* calloc(size_t n, size_t size) { return counted(__libc_calloc(n, size)); }
void* memalign(size_t align, size_t n) { return counted(__libc_memalign(align, n)); }
void* aligned_alloc(size_t align, size_t n) { return counted(__libc_memalign(align, n)); }
int posix_memalign(void** out, size_t align, size_t n) {
  *out = counted(__libc_memalign(align, n));
  return *out == nullptr ? ENOMEM : 0;
}
void* realloc(void* p, size_t n) {
  const auto before = p != nullptr ? static_cast<int64_t>(malloc_usable_size(p)) : 0;
  void* q = __libc_realloc(p, n);
  if (q == nullptr && n != 0) return q;  // p is as it was
  held -= before;
  return counted(q);
}
void free(void* p) {
  if (p != nullptr) held -= static_cast<int64_t>(malloc_usable_size(p));
  __libc_free(p);
}
}

namespace macrovpn::sim {
int64_t bytes_held() { return held; }
bool memory_is_metered() { return true; }
}  // namespace macrovpn::sim

#endif
