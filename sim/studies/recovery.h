// How long a program hears nothing when a relay of its circuit dies: from the crash until the first answer to a question that was asked
// after it. The program asks every 20 ms all the time, and its client has been up for a while: it has built a few circuits, and so knows how
// long they take.
//
//   as shipped          new circuits in one round trip, one spare
//   without spare       new circuits in one round trip
//   telescoping         new circuits hop by hop, no spare
#pragma once
#include "sim/studies/study.h"

namespace macrovpn::sim {

struct RecoveryConfig {
  uint64_t seed = 1;
  std::vector<Duration> links{20ms, 80ms, 200ms};  // round trips
  size_t deaths = 60;                              // of each kind
};

Study study_recovery(const RecoveryConfig&, Progress&);

}  // namespace macrovpn::sim
