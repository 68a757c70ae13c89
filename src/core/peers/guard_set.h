// GuardSet: the few relays by which this client enters, kept for months.
//
// Whoever is a client's first hop learns its address.  Drawing a fresh one per circuit would meet a bad one
// soon; a small fixed set meets one rarely (Tor's guards; Dingledine et al. 2014, "One fast guard for life").
// Rules:
//   - three primary guards, used in order;
//   - at most 20 sampled in all; more than 2 new ones in a week are refused, so that an attacker who makes
//   guards
//     fail cannot walk a client through the network until it meets his;
//   - failures are counted per guard; one that failed lately is tried after the others;
//   - those that failed and never worked come last, and while no other ever worked, more are sampled, within the same bounds: in a
//     network flooded with relays that are absent, or answer and carry nothing, all of the first three may be such.
#pragma once
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "model/keys.h"

namespace macrovpn::peers {

class GuardSet {
 public:
  static constexpr size_t kPrimary = 3, kMaxSampled = 20, kNewPerWeek = 2;
  static constexpr Duration kLife = std::chrono::hours(24 * 120);
  static constexpr Duration kRetryAfter = 60s;

  struct Guard {
    PeerId id;
    Wall added;
    uint32_t successes = 0, failures = 0;
    Mono failed_at = kLongAgo;  // not kept on disk
    bool never_worked() const { return failures > 0 && successes == 0; }
  };
  enum class Add : uint8_t { added, known, too_many_new, full };

  bool wants_more() const { return guards_.size() < kPrimary; }
  // First fill of an empty set is not counted as "new in a week".
  Add add(const PeerId&, Wall now);
  // The oldest, if its time is over, there are three, and no other is younger than a week: one after the other, so that a client neither changes all of its
  // guards at once, nor loses them to a clock that jumps.  Dates of the future become now.
  void drop_expired(Wall now);
  void forget(const PeerId&);  // gone from the directory
  // In order of preference: those that did not fail within kRetryAfter first, of them those that never worked last; then the others, the
  // longest ago first: after an outage in which all failed, a dead one is not asked twice before the next.
  std::vector<PeerId> in_order(Mono now) const;
  bool failed_lately(const PeerId&, Mono now) const;
  void forgive();  // failures of those that never worked: it was the network
  void succeeded(const PeerId&);
  void failed(const PeerId&, Mono now);
  const std::vector<Guard>& all() const { return guards_; }

  std::vector<uint8_t> save() const;  // relay ids and dates only
  static Result<GuardSet> load(Bytes);

 private:
  std::vector<Guard> guards_;
  std::vector<Wall> recently_added_;
  bool filled_once_ = false;
};

}  // namespace macrovpn::peers
