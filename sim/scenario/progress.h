// Progress: how far a long run is, for whoever waits for it.  On stderr only, and only looked at: nothing of it is in what is hashed.
//
//   at a terminal    one line, written anew twice a second
//   elsewhere        a line each minute, so that a log stays readable
//
// A run of less than three seconds says nothing.
#pragma once
#include <chrono>

#include "sim/world/watcher.h"

namespace macrovpn::sim {

class Progress final : public Watcher {
 public:
  explicit Progress(Duration lasts);
  ~Progress() override;  // wipes its line
  void each_second(World&) override;

 private:
  using Clock = std::chrono::steady_clock;
  Duration lasts_;  // virtual time, as all that the world tells
  bool terminal_;
  Clock::time_point began_ = Clock::now(), told_ = began_;
  uint64_t events_ = 0;  // when it was told last
  bool line_ = false;    // stands on the terminal
};

}  // namespace macrovpn::sim
