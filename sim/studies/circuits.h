// How long a circuit takes: from the wish of a client that has no session with anybody to the first answer for its program, three hops.
//
//   in one round trip      the shipped way: ready after 3 round trips of a link, the first answer after 6
//   telescoping            hop by hop: each hop is asked over those before it, so 1 + 2 + 3, and the first answer after 9
//
// A program asks at the same instant, and again each second, as a TCP's first segment is sent again (RFC 6298); its packets wait in the
// node until there is a circuit.
#pragma once
#include "sim/net/link.h"
#include "sim/studies/study.h"

namespace macrovpn::sim {

struct CircuitsConfig {
  uint64_t seed = 1;
  std::vector<Duration> links{20ms, 80ms, 200ms};  // round trips
  std::vector<Ppm> losses{0, 20'000};              // on each link, each way
  size_t builds = 250;                             // of each kind, by as many clients
};

Study study_circuits(const CircuitsConfig&, Progress&);

}  // namespace macrovpn::sim
