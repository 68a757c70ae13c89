// The command line of the comparison between model and nodes: simulate model [--seed N] ...  The exit code is that of main().
#pragma once
#include <string>
#include <vector>

namespace macrovpn::sim {

int simulate_model(const std::vector<std::string>& words);

}  // namespace macrovpn::sim
