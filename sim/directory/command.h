// ./simulate directory: the promises of the directory, tried on relays without number.
#pragma once
#include <string>
#include <vector>

namespace macrovpn::sim {

int simulate_directory(const std::vector<std::string>& words);  // 0: all held; 1: one did not; 2: not understood

}  // namespace macrovpn::sim
