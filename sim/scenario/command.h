// The command line of macrovpn-simulate.
#pragma once
#include <span>
#include <string>
#include <vector>

namespace macrovpn::sim {

int simulate(const std::vector<std::string>& words);

}  // namespace macrovpn::sim
