// Two kinds of time, which never mix.  The core has no clock: both are arguments.
//
//   Mono   never goes back; every timer and deadline.
//   Wall   the calendar (expiry of descriptors, slots of early data); may jump and may be wrong.
#pragma once
#include <chrono>
#include <cstdint>

namespace macrovpn {

using Duration = std::chrono::nanoseconds;
using namespace std::chrono_literals;

// Clocks without a now(): only the shell and the simulator make time points of them.
struct MonoClock {
  using duration = Duration;
  using rep = Duration::rep;
  using period = Duration::period;
  using time_point = std::chrono::time_point<MonoClock>;
  static constexpr bool is_steady = true;
};
struct WallClock {
  using duration = Duration;
  using rep = Duration::rep;
  using period = Duration::period;
  using time_point = std::chrono::time_point<WallClock>;
  static constexpr bool is_steady = false;
};
using Mono = MonoClock::time_point;
using Wall = WallClock::time_point;

struct Now {
  Mono mono;
  Wall wall;
};

inline constexpr Mono kNever = Mono::max();
// "Long before the program started": the initial value of "last time that ..." fields.
inline constexpr Mono kLongAgo = Mono(Duration(INT64_MIN / 4));

constexpr int64_t unix_seconds(Wall t) {
  return std::chrono::floor<std::chrono::seconds>(t.time_since_epoch()).count();
}
constexpr Wall wall_from_unix(int64_t seconds) {
  return Wall(std::chrono::seconds(seconds));
}

}  // namespace macrovpn
