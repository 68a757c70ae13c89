// ./simulate flood: forty false relays for each honest one.
#pragma once
#include <string>
#include <vector>

namespace macrovpn::sim {

int simulate_flood(const std::vector<std::string>& words);  // 0: the promises held; 1: one did not; 2: not understood

}  // namespace macrovpn::sim
