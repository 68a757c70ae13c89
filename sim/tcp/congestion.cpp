#include "sim/tcp/congestion.h"

#include <algorithm>

namespace macrovpn::sim {

uint64_t cube_root(uint64_t value) {
  uint64_t root = 0;
  for (uint64_t bit = uint64_t{1} << 21; bit != 0; bit >>= 1) {
    const uint64_t larger = root | bit;
    if (larger <= 2'642'245 && larger * larger * larger <= value) root = larger;  // (2^64)^(1/3)
  }
  return root;
}

void Congestion::on_acked(Mono now, uint32_t segments, Duration round_trip) {
  if (in_slow_start()) {
    const uint32_t room = threshold_ == kNoThreshold ? segments : std::min(segments, threshold_ - window_);
    window_ = std::min(window_ + room, kMost);
    segments -= room;
    if (segments == 0) return;
  }
  if (kind_ == CongestionControl::reno) {
    avoid_reno(segments);
  } else {
    avoid_cubic(now, segments, round_trip);
  }
}

void Congestion::avoid_reno(uint32_t segments) {
  credit_ += segments;
  while (credit_ >= window_) {
    credit_ -= window_;
    window_ = std::min(window_ + 1, kMost);
  }
}

void Congestion::begin_epoch(Mono now) {
  const int64_t window = window_ * kUnit;
  epoch_ = now;
  credit_ = 0;
  estimate_ = window;
  if (max_ <= window) {
    max_ = window;
    k_ = 0;
    return;
  }
  // K = cbrt((W_max - cwnd) / C), C = 2/5; in 1/1024 s: its cube is 2^30 larger, of which 2^10 are in the window's unit.
  k_ = static_cast<int64_t>(cube_root(static_cast<uint64_t>(max_ - window) * 5 / 2 << 20));
}

// W_cubic(t) = C (t - K)³ + W_max
int64_t Congestion::cubic_at(int64_t time) const {
  const int64_t d = std::clamp<int64_t>(time - k_, -(1 << 20), 1 << 20);
  return max_ + d * d * d / (1 << 20) * 2 / 5;
}

void Congestion::avoid_cubic(Mono now, uint32_t segments, Duration round_trip) {
  if (!epoch_) begin_epoch(now);
  const int64_t window = window_ * kUnit, time = units(now - *epoch_);
  // §4.3: alpha = 3 (1 - beta) / (1 + beta) = 9/17, and 1 once the window of before the loss is reached.
  const int64_t reno = segments * kUnit * kUnit / window;
  estimate_ += estimate_ < prior_ ? reno * 9 / 17 : reno;
  if (cubic_at(time) < estimate_) {
    if (estimate_ / kUnit > window_) {
      window_ = std::min(static_cast<uint32_t>(estimate_ / kUnit), kMost);
      credit_ = 0;
    }
    return;
  }
  // §4.4: towards where the curve is one round trip from now, at most half as much again.
  const int64_t target = std::clamp(cubic_at(time + units(round_trip)), window, window * 3 / 2);
  credit_ += segments * static_cast<uint64_t>(target - window);
  while (credit_ >= static_cast<uint64_t>(window)) {
    credit_ -= static_cast<uint64_t>(window);
    window_ = std::min(window_ + 1, kMost);
  }
}

void Congestion::on_loss() {
  credit_ = 0;
  epoch_.reset();
  if (kind_ == CongestionControl::reno) {
    threshold_ = std::max(window_ / 2, kLeast);
    return;
  }
  const int64_t window = window_ * kUnit;
  prior_ = window;
  // Fast convergence (§4.7): a flow that had more before leaves room for others.
  max_ = window < max_ ? window * 17 / 20 : window;
  threshold_ = std::max(window_ * 7 / 10, kLeast);
}

void Congestion::on_idle(Duration d) {
  if (epoch_) *epoch_ += d;
}

}  // namespace macrovpn::sim
