// What programs got, as a run says it at its end.
#pragma once
#include "sim/scenario/run.h"

namespace macrovpn::sim {

std::string load_text(const Simulation&);  // a line for each work that somebody did
std::string load_json(const Simulation&);  // members of an object, without its braces

}  // namespace macrovpn::sim
