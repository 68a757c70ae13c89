// Link: one direction of a way between two places, and what a datagram meets on it.
//
//   offered ─ up? ─ fits? ─ loss ─ queue (drop-tail, in bytes) ─ sender of a rate ─ latency ± jitter ─ arrives, once or twice
//
// The same model as the wires of netlab (tests/support/tools/wire.h), so that the two can be compared: loss is drawn before the
// queue, jitter is uniform in [latency − jitter, latency + jitter] and never below zero, and nothing overtakes unless reordering
// is asked for.  A reordered datagram takes up to `reorder_by` longer than its turn and does not hold back those behind it.
//
// Loss comes in bursts (Gilbert 1960, Elliott 1963): a good and a bad state, each with a loss of its own, and the chances to
// change between them with each datagram.
//
// Pure and in whole numbers: the same offers and the same random numbers give the same arrivals on every machine.
#pragma once
#include <array>

#include "base/rng.h"
#include "base/time.h"
#include "model/relay.h"

namespace macrovpn::sim {

// Of a million.
using Ppm = uint32_t;
inline constexpr Ppm kAlways = 1'000'000;

struct LossModel {
  Ppm loss_in_good = 0, loss_in_bad = 0;  // chance that a datagram is lost in that state
  Ppm good_to_bad = 0, bad_to_good = 0;   // chance to change before the next datagram

  static constexpr LossModel none() { return {}; }
  // Each on its own.
  static constexpr LossModel independent(Ppm loss) { return {.loss_in_good = loss}; }
  // A share `loss` of all, 0 < loss < kAlways, in bursts of `length` >= 1 on the average, in which all are lost.  Counted in
  // datagrams; a pause of kBurstOver ends a burst, since what disturbs a link is over by then, however few would have been lost.
  static constexpr LossModel bursts(Ppm loss, uint32_t length) {
    const uint64_t leave = kAlways / length;
    // In balance the bad state has the share loss = enter / (enter + leave).
    const uint64_t enter = leave * loss / (kAlways - loss);
    return {.loss_in_bad = kAlways, .good_to_bad = static_cast<Ppm>(enter), .bad_to_good = static_cast<Ppm>(leave)};
  }
  bool operator==(const LossModel&) const = default;
};

inline constexpr Duration kBurstOver = 1s;
inline constexpr size_t kNoLimit = SIZE_MAX;

struct LinkModel {
  Duration latency{0};
  Duration jitter{0};
  Bandwidth rate{};            // zero: not limited, and then there is no queue
  size_t queue = 256 * 1024;   // bytes that wait or are being sent, at most; one datagram always fits an idle link
  LossModel loss;
  Ppm duplicated = 0;
  Ppm reordered = 0;
  Duration reorder_by{0};      // the longest delay of a reordered one
  size_t mtu = kNoLimit;       // larger ones are refused, and the sender may be told so
  size_t black_hole_above = kNoLimit;  // larger ones vanish, and nobody is told
  bool up = true;
  bool operator==(const LinkModel&) const = default;
};

// The queue that holds what a rate sends in a time.
constexpr size_t bytes_in(Bandwidth rate, Duration time) {
  return static_cast<size_t>(rate.bytes_per_second * static_cast<uint64_t>(time / 1us) / 1'000'000);
}
constexpr Bandwidth megabits(uint64_t per_second) {
  return {per_second * 125'000};
}

enum class LinkDrop : uint8_t { none, down, too_big, black_hole, lost, queue_full, kCount };
const char* to_string(LinkDrop);

// When what was offered arrives: never (with the reason), once, or twice.
struct Sent {
  LinkDrop drop = LinkDrop::none;
  uint8_t copies = 0;
  std::array<Mono, 2> at{};  // the first `copies` are meant; not sorted
};

struct LinkCounters {
  uint64_t offered = 0, offered_bytes = 0;
  uint64_t carried = 0, carried_bytes = 0;  // without copies
  uint64_t duplicated = 0, reordered = 0;
  std::array<uint64_t, static_cast<size_t>(LinkDrop::kCount)> dropped{};
  uint64_t dropped_for(LinkDrop why) const { return dropped[static_cast<size_t>(why)]; }
  Duration longest_queue{0};
};

class Link {
 public:
  // `random` belongs to the caller and outlives the link.  Links that share it influence each other's draws.
  Link(const LinkModel& model, Rng& random) : model_(model), random_(&random) {}

  // `now` never goes back from one call to the next.
  Sent offer(Mono now, size_t bytes);
  // Holds for what is offered from now on; what is on its way arrives as was said.
  void set(const LinkModel& model) { model_ = model; }
  const LinkModel& model() const { return model_; }
  // How long something offered now would wait before it is sent.
  Duration queue_delay(Mono now) const { return free_at_ > now ? free_at_ - now : Duration(0); }
  const LinkCounters& counters() const { return counters_; }

 private:
  bool chance(Ppm p) { return p != 0 && (p >= kAlways || random_->below(kAlways) < p); }
  bool draw_loss(Mono now);
  LinkDrop refuses(Mono now, size_t bytes);
  Mono send(Mono now, size_t bytes);
  Mono arrival(Mono sent);

  LinkModel model_;
  Rng* random_;
  Mono free_at_ = kLongAgo;  // when the sender has sent all that waits
  Mono last_at_ = kLongAgo;  // the latest arrival that others may not overtake
  bool bad_ = false;         // the loss model's state
  Mono drawn_at_ = kLongAgo;
  LinkCounters counters_;
};

}  // namespace macrovpn::sim
