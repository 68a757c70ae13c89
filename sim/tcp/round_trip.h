// RoundTrip: how long answers take, and how long to wait for one (RFC 6298, in whole nanoseconds).
//
// As Linux has it, the timeout is the smoothed round trip and at least 200 ms on top, not at least 1 s in all (RFC 6298 §2.4).
#pragma once
#include <algorithm>

#include "base/time.h"

namespace macrovpn::sim {

class RoundTrip {
 public:
  static constexpr Duration kInitialTimeout = 1s;
  static constexpr Duration kLongestTimeout = 120s;
  explicit RoundTrip(Duration least_margin) : least_margin_(least_margin) {}

  // Of a segment that was sent once (Karn).
  void sample(Duration d) {
    least_ = std::min(least_, d);
    if (!known_) {
      known_ = true;
      smoothed_ = d;
      variation_ = d / 2;
      return;
    }
    const Duration off = d > smoothed_ ? d - smoothed_ : smoothed_ - d;
    variation_ += (off - variation_) / 4;
    smoothed_ += (d - smoothed_) / 8;
  }
  bool known() const { return known_; }
  Duration smoothed() const { return smoothed_; }
  Duration least() const { return least_; }
  // Doubled `backoff` times.
  Duration timeout(unsigned backoff) const {
    const Duration once = known_ ? smoothed_ + std::max(4 * variation_, least_margin_) : kInitialTimeout;
    return std::min(once * (int64_t{1} << std::min(backoff, 10u)), kLongestTimeout);
  }

 private:
  Duration least_margin_;
  bool known_ = false;
  Duration smoothed_{0}, variation_{0};
  Duration least_ = std::chrono::hours(1);
};

}  // namespace macrovpn::sim
