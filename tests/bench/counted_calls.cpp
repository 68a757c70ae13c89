#include "counted_calls.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace macrovpn::counted {
namespace {

Calls counted;

// The C library's function of that name.
template <class F>
F* real(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

const Calls& calls() {
  return counted;
}
bool counts_allocations() {
#ifdef __SANITIZE_ADDRESS__
  return false;
#else
  return true;
#endif
}

}  // namespace macrovpn::counted

using macrovpn::counted::counted;
using macrovpn::counted::real;

extern "C" {

#ifndef __SANITIZE_ADDRESS__
void* __libc_malloc(size_t n) noexcept;
void* __libc_calloc(size_t n, size_t size) noexcept;
void* __libc_realloc(void* p, size_t n) noexcept;
void* __libc_memalign(size_t alignment, size_t n) noexcept;

void* malloc(size_t n) noexcept {
  counted.allocations++;
  return __libc_malloc(n);
}
void* calloc(size_t n, size_t size) noexcept {
  counted.allocations++;
  return __libc_calloc(n, size);
}
void* realloc(void* p, size_t n) noexcept {
  counted.allocations++;
  return __libc_realloc(p, n);
}
void* aligned_alloc(size_t alignment, size_t n) noexcept {
  counted.allocations++;
  return __libc_memalign(alignment, n);
}
void* memalign(size_t alignment, size_t n) noexcept {
  counted.allocations++;
  return __libc_memalign(alignment, n);
}
#endif

int pthread_mutex_lock(pthread_mutex_t* m) noexcept {
  static auto* const next = real<int(pthread_mutex_t*)>("pthread_mutex_lock");
  counted.locks++;
  return next(m);
}
int pthread_rwlock_rdlock(pthread_rwlock_t* l) noexcept {
  static auto* const next = real<int(pthread_rwlock_t*)>("pthread_rwlock_rdlock");
  counted.locks++;
  return next(l);
}
int pthread_rwlock_wrlock(pthread_rwlock_t* l) noexcept {
  static auto* const next = real<int(pthread_rwlock_t*)>("pthread_rwlock_wrlock");
  counted.locks++;
  return next(l);
}

int sendmmsg(int fd, mmsghdr* messages, unsigned n, int flags) {
  static auto* const next = real<int(int, mmsghdr*, unsigned, int)>("sendmmsg");
  counted.kernel++;
  return next(fd, messages, n, flags);
}
int recvmmsg(int fd, mmsghdr* messages, unsigned n, int flags, timespec* timeout) {
  static auto* const next = real<int(int, mmsghdr*, unsigned, int, timespec*)>("recvmmsg");
  counted.kernel++;
  return next(fd, messages, n, flags, timeout);
}
ssize_t sendmsg(int fd, const msghdr* m, int flags) {
  static auto* const next = real<ssize_t(int, const msghdr*, int)>("sendmsg");
  counted.kernel++;
  return next(fd, m, flags);
}
ssize_t recvmsg(int fd, msghdr* m, int flags) {
  static auto* const next = real<ssize_t(int, msghdr*, int)>("recvmsg");
  counted.kernel++;
  return next(fd, m, flags);
}
ssize_t readv(int fd, const iovec* parts, int n) {
  static auto* const next = real<ssize_t(int, const iovec*, int)>("readv");
  counted.kernel++;
  return next(fd, parts, n);
}
ssize_t writev(int fd, const iovec* parts, int n) {
  static auto* const next = real<ssize_t(int, const iovec*, int)>("writev");
  counted.kernel++;
  return next(fd, parts, n);
}
ssize_t preadv2(int fd, const iovec* parts, int n, off_t offset, int flags) {
  static auto* const next = real<ssize_t(int, const iovec*, int, off_t, int)>("preadv2");
  counted.kernel++;
  return next(fd, parts, n, offset, flags);
}
ssize_t pwritev2(int fd, const iovec* parts, int n, off_t offset, int flags) {
  static auto* const next = real<ssize_t(int, const iovec*, int, off_t, int)>("pwritev2");
  counted.kernel++;
  return next(fd, parts, n, offset, flags);
}

}  // extern "C"
