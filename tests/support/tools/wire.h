// One direction of a wire: what a frame meets between one end and the other.
//
// The model is a real access line: a sender of a given rate with a drop-tail queue in front, then a fixed delay with
// some jitter. Frames never overtake each other (jitter in real networks rarely reorders, and a reordering wire would
// hide mistakes behind "the network did it"). Loss is drawn before the queue from a seeded generator, so that two
// runs over the same frames lose the same ones.
//
// Pure: time is an argument, nothing here touches a socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace netlab {

using Nanoseconds = std::chrono::nanoseconds;

// Since an arbitrary start, never goes back (CLOCK_MONOTONIC).
using Instant = std::chrono::time_point<std::chrono::steady_clock, Nanoseconds>;

struct WireSettings {
  Nanoseconds delay{0};
  Nanoseconds jitter{0};         // uniform in [delay - jitter, delay + jitter], never below zero
  std::uint32_t loss_ppm = 0;    // frames lost out of a million
  std::uint64_t rate_kbit = 0;   // 0: not limited
  Nanoseconds queue = std::chrono::milliseconds(100);  // longest wait for the sender of a limited rate
};

struct WireCounts {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::uint64_t lost = 0;        // drawn by loss_ppm
  std::uint64_t queue_full = 0;  // dropped because the rate's queue, or the memory bound, was reached
};

class Wire {
 public:
  // Bytes in flight at most; beyond it frames are dropped and counted (32 MiB is 200 ms at 1.3 Gbit/s).
  static constexpr std::size_t kMostBytesInFlight = 32U << 20U;

  explicit Wire(std::uint64_t seed) : loss_random_(seed), group_loss_random_(seed + 1), jitter_random_(seed + 2) {}

  // Applies one word "key=value" of the control language; says what is wrong with it, or nothing.
  // Keys: delay_us jitter_us loss_ppm rate_kbit queue_us.
  std::optional<std::string> set(const std::string& word);

  void accept(std::span<const std::uint8_t> frame, Instant now);

  // The frame after the `skip` oldest ones, if its time has come. Valid until pop().
  std::optional<std::span<const std::uint8_t>> due(Instant now, std::size_t skip = 0) const;
  void pop(std::size_t count);
  std::optional<Instant> next_due() const;

  const WireCounts& counts() const { return counts_; }

 private:
  struct InFlight {
    Instant due;
    std::vector<std::uint8_t> frame;
  };

  bool draw_loss(bool to_a_group);
  Nanoseconds draw_delay();

  WireSettings settings_;
  WireCounts counts_;
  std::mt19937_64 loss_random_, group_loss_random_, jitter_random_;
  std::deque<InFlight> flight_;
  std::size_t bytes_in_flight_ = 0;
  Instant sender_free_at_{};
  Instant last_due_{};
};

}  // namespace netlab
