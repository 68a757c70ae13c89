// Congestion: how many segments a TCP sender has on their way.  Counted in segments, as kernels do; whole numbers only.
//
//   reno    slow start and congestion avoidance of RFC 5681
//   cubic   RFC 9438 with C = 0.4, beta = 0.7, fast convergence, and the Reno-friendly region
//
// Slow start lasts until a loss or ssthresh: HyStart (RFC 9406), with which Linux leaves it when delays grow, is left out.  So a first
// slow start here may overfill a queue where Linux's would not.
//
// What happens during recovery is the sender's matter (sender.h): it sets the window itself.
#pragma once
#include <optional>

#include "base/time.h"

namespace macrovpn::sim {

enum class CongestionControl : uint8_t { reno, cubic };

// The largest r with r³ <= value.
uint64_t cube_root(uint64_t value);

class Congestion {
 public:
  static constexpr uint32_t kNoThreshold = UINT32_MAX;
  static constexpr uint32_t kLeast = 2;         // of ssthresh
  static constexpr uint32_t kMost = 1u << 20;   // of the window

  Congestion(CongestionControl kind, uint32_t initial_window) : kind_(kind), window_(initial_window) {}

  uint32_t window() const { return window_; }
  uint32_t threshold() const { return threshold_; }
  bool in_slow_start() const { return window_ < threshold_; }
  // New data was acknowledged while the window was in the way; the smoothed round trip.
  void on_acked(Mono now, uint32_t segments, Duration round_trip);
  // A loss was found, by whatever means: the threshold falls.  The caller sets the window.
  void on_loss();
  void set_window(uint32_t segments) { window_ = std::max(segments, 1u); }
  // Nothing was sent for so long: CUBIC's clock stood still (RFC 9438 §5.8).
  void on_idle(Duration d);

 private:
  // 1/1024 segments, and 1/1024 seconds.
  static constexpr int64_t kUnit = 1024;
  static int64_t units(Duration d) { return d.count() / 976'563; }  // nanoseconds of 1/1024 s

  void avoid_reno(uint32_t segments);
  void avoid_cubic(Mono now, uint32_t segments, Duration round_trip);
  void begin_epoch(Mono now);
  int64_t cubic_at(int64_t time) const;

  CongestionControl kind_;
  uint32_t window_;
  uint32_t threshold_ = kNoThreshold;
  uint64_t credit_ = 0;  // towards the next segment of window

  std::optional<Mono> epoch_;   // since when this congestion avoidance lasts
  int64_t max_ = 0;             // W_max
  int64_t prior_ = 0;           // cwnd_prior: the window before the last loss
  int64_t estimate_ = 0;        // W_est: what Reno would have
  int64_t k_ = 0;               // when the curve is at max_ again, since epoch_
};

}  // namespace macrovpn::sim
