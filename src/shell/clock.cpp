#include "shell/clock.h"

#include <sys/random.h>
#include <time.h>

#include <cerrno>

namespace macrovpn::shell {
namespace {

Duration read(clockid_t id) {
  timespec t{};
  MV_ASSERT(clock_gettime(id, &t) == 0);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

}  // namespace

Now read_clocks() { return {Mono(read(CLOCK_BOOTTIME)), Wall(read(CLOCK_REALTIME))}; }

void OsRng::fill(MutBytes out) {
  while (!out.empty()) {
    const ssize_t n = getrandom(out.data(), out.size(), 0);
    MV_ASSERT(n > 0 || errno == EINTR);
    if (n > 0) out = out.subspan(static_cast<size_t>(n));
  }
}

}  // namespace macrovpn::shell
