// Failure: a promise that did not hold, as a person reads it.
#pragma once
#include <string>
#include <vector>

#include "sim/world/host_id.h"

namespace macrovpn::sim {

struct Failure {
  std::string checker;         // a word, as in --only and in the lists of mutants
  std::string promise;         // the sentence that does not hold
  std::string seen;            // what was seen instead
  std::vector<HostId> hosts{}; // whose last events matter
};

}  // namespace macrovpn::sim
