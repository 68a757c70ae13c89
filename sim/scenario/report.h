// What a run says at its end.
#pragma once
#include "sim/scenario/run.h"

namespace macrovpn::sim {

std::string text_report(const Simulation&, uint64_t seed, Duration wall);
std::string json_report(const Simulation&, uint64_t seed, Duration wall);  // one object

}  // namespace macrovpn::sim
