// Histogram: durations, counted in buckets that are a sixteenth of their value wide or narrower, from 1 µs to hours. Bounded however much is
// counted, in whole numbers, and sums of histograms are histograms.
#pragma once
#include <array>
#include <bit>
#include <cstdint>

#include "base/assert.h"
#include "base/time.h"

namespace macrovpn::sim {

class Histogram {
 public:
  static constexpr unsigned kFine = 4;  // bits: 16 buckets for each doubling
  static constexpr size_t kBuckets = 36u << kFine;

  void add(Duration d) {
    counts_[bucket(static_cast<uint64_t>(std::max<int64_t>(d / 1us, 0)))]++;
    total_++;
    sum_ += d;
    longest_ = std::max(longest_, d);
  }
  void add(const Histogram& other) {
    for (size_t i = 0; i < kBuckets; i++) counts_[i] += other.counts_[i];
    total_ += other.total_;
    sum_ += other.sum_;
    longest_ = std::max(longest_, other.longest_);
  }
  uint64_t count() const { return total_; }
  Duration longest() const { return longest_; }
  Duration mean() const { return total_ == 0 ? Duration(0) : sum_ / static_cast<int64_t>(total_); }
  // The least duration that so many of a thousand do not exceed, up to a bucket's width. Zero if there is none.
  Duration at(uint32_t per_thousand) const {
    const uint64_t rank = (total_ * per_thousand + 999) / 1000;
    uint64_t seen = 0;
    for (size_t i = 0; i < kBuckets && rank != 0; i++) {
      seen += counts_[i];
      if (seen >= rank) return std::min<Duration>(std::chrono::microseconds(top(i)), longest_);
    }
    return Duration(0);
  }

 private:
  static size_t bucket(uint64_t us) {
    if (us < (1u << kFine)) return us;
    const auto exponent = static_cast<unsigned>(std::bit_width(us)) - 1 - kFine;  // of the bucket's width
    return std::min(kBuckets - 1, (static_cast<size_t>(exponent) << kFine) + (us >> exponent));
  }
  // The largest value of a bucket.
  static int64_t top(size_t i) {
    if (i < (2u << kFine)) return static_cast<int64_t>(i);
    const size_t exponent = (i >> kFine) - 1;
    return static_cast<int64_t>((((i & ((1u << kFine) - 1)) + (1u << kFine) + 1) << exponent) - 1);
  }

  std::array<uint32_t, kBuckets> counts_{};
  uint64_t total_ = 0;
  Duration sum_{0}, longest_{0};
};

}  // namespace macrovpn::sim
