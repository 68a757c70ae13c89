#include "core/routing/build_timeout.h"

#include <algorithm>

namespace macrovpn::routing {

void BuildTimeout::succeeded(Duration took) {
  samples_[count_++ % samples_.size()] = took;
  succeeded();
}

void BuildTimeout::succeeded() { failures_ = behind_guard_ = 0; }

void BuildTimeout::failed() {
  failures_ = std::min(failures_ + 1, 4);
}

void BuildTimeout::failed_behind_guard() {
  if (++behind_guard_ % 4 == 0) failed();
}

Duration BuildTimeout::undoubled() const { return times(0); }
Duration BuildTimeout::current() const { return times(failures_); }

Duration BuildTimeout::times(int doublings) const {
  const size_t n = std::min(count_, samples_.size());
  Duration base = kFirst;
  if (n >= 3) {
    auto sorted = samples_;
    std::sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(n));
    base = sorted[n * 4 / 5] * 3;
  }
  return std::clamp<Duration>(base * (1 << doublings), kLeast, kMost);
}

}  // namespace macrovpn::routing
