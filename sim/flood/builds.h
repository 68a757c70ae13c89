// Builds: whether clients get circuits in a flooded network.  Real nodes all: honest relays, false ones of three kinds, clients that wish
// for a circuit again and again.
//
//   absent    a third of the false relays are in the directory and do not answer
//   drop      a third answer handshakes, and carry nothing
//   log       a third work
//
// A wish is a client that starts (with its files, without circuits) and its program's first question; it is fulfilled when
// an answer came back within kPatience: through a guard, a middle and an exit that all work.
#pragma once
#include "sim/flood/population.h"
#include "sim/studies/study.h"

namespace macrovpn::sim {

inline constexpr Duration kPatience = 30s;

struct BuildsModel {
  FloodModel flood;
  size_t clients = 40, wishes = 5;  // of each
  size_t comparisons = 0;           // of its directory that a client has had, hearing who is dead; at most three count
};

struct BuildsReport {
  size_t honest = 0, false_ones = 0;  // admitted
  uint64_t wishes = 0, fulfilled = 0;
  uint64_t attempts = 0, ready = 0;   // circuits begun, spares among them, that ended in some way; those that came up
  std::vector<Duration> took;         // of those fulfilled
  uint64_t hash = 0;
  uint32_t ready_per_mille() const { return attempts == 0 ? 0 : static_cast<uint32_t>(ready * 1000 / attempts); }
  uint32_t fulfilled_per_mille() const { return wishes == 0 ? 0 : static_cast<uint32_t>(fulfilled * 1000 / wishes); }
};

BuildsReport try_builds(const BuildsModel&, Progress&);

}  // namespace macrovpn::sim
