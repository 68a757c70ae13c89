// Bandwidth that relays measure of each other, so that nobody gains much by claiming (FlashFlow, Traudt, Jansen, Johnson, ICDCS 2021, among
// peers).
//
// Each week about six relays measure a relay, one after the other.  They are drawn by hash and weight (measured.h), so that neither side chooses.  A
// measurer sends at the rate that both claim (kMostMeasured at most) for kMeasureFor; the target sends every sample back whole.  A sample carries a MAC that only the measurer can make, so what comes back
// was received and sent.  What the target carried for others meanwhile it may report, and a third of what was echoed counts of it at most:
//
//   one measurer   x = echoed bytes per second from kWarmUp on;  x + min(background, x / 3)
//   all            min(claim, the median; of fewer than three: nothing).  Who refuses is measured as less than nothing
//
// So a liar gains a factor of 4/3: x cannot exceed what he can carry.  Measurers who lie for him (or against) do not move the
// median past what the honest ones measured, while those are more.  That is why each measures the whole alone: where all send at once and the sum counts, two who report
// what they please add two fifths of it (docs/decisions/0040).  Whoever rents bandwidth for the minutes in which he is measured is measured with
// it.
//
// What a measurer learns: what the target can carry, and from the background how busy it was in those seconds.  Nobody's traffic.
//
// Pure.  The driver carries samples inside a session between the two relays (frames MEASURE, MEASURE_OK, SAMPLE, ECHO).
#pragma once
#include <vector>

#include "base/rng.h"
#include "core/discovery/relay_entry.h"
#include "crypto/hash.h"

namespace macrovpn::discovery {

inline constexpr size_t kLeastResults = 3;
inline constexpr Duration kMeasureFor = 10s, kWarmUp = 2s;
inline constexpr Bandwidth kMostMeasured{12'500'000};  // 100 Mbit/s
inline constexpr Bandwidth kLeastMeasured{12'500};     // 100 kbit/s: what claims less is not worth it
inline constexpr size_t kSampleSize = 1024;            // bytes: index 4 | MAC 16 | filler
inline constexpr Duration kMeasureWeek = std::chrono::hours(24 * 7);

uint32_t measure_week_of(Wall, Duration week = kMeasureWeek);
// What counts of a claim; nothing: not enough was measured.  A result that is nothing: refused.
std::optional<Bandwidth> settle_bandwidth(Bandwidth claim, std::vector<std::optional<Bandwidth>> results);

class BandwidthMeasurer {
 public:
  // rate: what the target claims.  start: as was agreed.
  BandwidthMeasurer(Bandwidth rate, Mono start, Rng& rng);
  // The samples that are due, each kSampleSize; at most kAtOnce in a call.
  static constexpr size_t kAtOnce = 256;
  void on_deadline(Mono now, std::vector<std::vector<uint8_t>>& samples);
  void on_echo(Mono now, Bytes sample);
  void on_background(uint64_t bytes) { background_ = bytes; }  // over the whole kMeasureFor
  Mono next_deadline() const;
  bool is_over(Mono now) const { return now >= start_ + kMeasureFor; }
  Bandwidth result() const;  // once it is over
  uint64_t forged() const { return forged_; }

 private:
  crypto::Mac16 mac_of(uint32_t index) const;
  uint64_t rate_;
  Mono start_;
  ByteArray<32> key_{};
  uint32_t next_ = 0, total_ = 0;
  std::vector<bool> seen_;
  uint64_t echoed_ = 0;  // bytes, since the warm-up
  uint64_t background_ = 0, forged_ = 0;
};

// The other side: whom a relay lets measure it, and what it sends back.
class BandwidthTarget {
 public:
  struct Ask {
    PeerId from;
    uint32_t week = 0;
    Bandwidth rate;
  };
  enum class Answer : uint8_t { no, later, yes };
  static constexpr size_t kAsksOfOne = 3;   // a week: its session may break, and it may forget
  static constexpr size_t kMostAsks = 40;   // in all
  // From somebody who is drawn.  week: the one that it is; most: what we claim and our operator lends.
  Answer on_ask(Mono now, const Ask&, uint32_t week, Bandwidth most);
  // Whether this sample goes back.  No more of them than were agreed.
  bool on_sample(Mono now, const PeerId& from, size_t bytes);
  bool is_measured(Mono now) const { return now < until_; }
  Mono until() const { return until_; }
  void stop() { until_ = kLongAgo; }

 private:
  uint32_t week_ = 0;
  std::vector<PeerId> done_;  // of this week
  PeerId by_;
  Mono until_ = kLongAgo;
  uint64_t left_ = 0;
};

}  // namespace macrovpn::discovery
