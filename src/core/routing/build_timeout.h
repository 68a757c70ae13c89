// How long to wait for a circuit: learnt from the builds that succeeded, as the 80th percentile of the last
// ones times a margin, within bounds (the idea of Tor's circuit build timeout, without its Pareto fit).
#pragma once
#include <array>

#include "base/time.h"

namespace macrovpn::routing {

class BuildTimeout {
 public:
  static constexpr Duration kFirst = 2s, kLeast = 300ms, kMost = 5s;
  void succeeded(Duration took);
  void succeeded();  // but it was asked twice, so that nobody knows which of them was answered (Karn)
  void failed();  // doubles what is waited for, until the next success
  // The guard answered, so that somebody behind it is dead rather than the network slow.  But when that happens again and again, with others each
  // time, it is slow after all: each fourth in a row counts.
  void failed_behind_guard();
  Duration current() const;
  Duration undoubled() const;  // for who knows that the network is not slow

 private:
  Duration times(int doublings) const;
  std::array<Duration, 32> samples_{};
  size_t count_ = 0;
  int failures_ = 0, behind_guard_ = 0;
};

}  // namespace macrovpn::routing
