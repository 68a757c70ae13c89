// Ticks: round numbers along an axis.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace macrovpn::sim::plot {

// The smallest of 1, 2, 5 · 10^n that divides [0, span] into at most `most` parts; span > 0, most > 0.
int64_t round_step(int64_t span, int64_t most);
// Multiples of a round step within [from, to], about `most` of them.
std::vector<int64_t> ticks(int64_t from, int64_t to, int64_t most);
// value / unit, exact to as many places as `step` needs, at most six: "1.5", "-0.25", "20".
std::string decimal(int64_t value, int64_t unit, int64_t step);

}  // namespace macrovpn::sim::plot
