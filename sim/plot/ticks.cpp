#include "sim/plot/ticks.h"

#include <algorithm>

#include "base/assert.h"

namespace macrovpn::sim::plot {

int64_t round_step(int64_t span, int64_t most) {
  MV_ASSERT(span > 0 && most > 0);
  constexpr int64_t kLargestPower = 1'000'000'000'000'000'000;
  for (int64_t power = 1;; power *= 10)
    for (const int64_t digit : {1, 2, 5})
      if (span / (power * digit) <= most || (power == kLargestPower && digit == 5)) return power * digit;
}

std::vector<int64_t> ticks(int64_t from, int64_t to, int64_t most) {
  const int64_t step = round_step(std::max<int64_t>(to - from, 1), most);
  std::vector<int64_t> out;
  int64_t at = from / step * step;
  while (at < from) at += step;
  for (; at <= to; at += step) out.push_back(at);
  return out;
}

std::string decimal(int64_t value, int64_t unit, int64_t step) {
  MV_ASSERT(unit > 0);
  const bool negative = value < 0;
  const auto magnitude = static_cast<uint64_t>(negative ? -value : value);
  const auto u = static_cast<uint64_t>(unit);
  // As many places as make a step a whole number.
  unsigned places = 0;
  uint64_t scale = 1;
  while (places < 6 && static_cast<uint64_t>(step) * scale % u != 0) {
    scale *= 10;
    places++;
  }
  const uint64_t scaled = (magnitude / u) * scale + (magnitude % u * scale + u / 2) / u;
  std::string text = std::to_string(scaled / scale);
  if (places > 0) {
    std::string rest = std::to_string(scaled % scale);
    text += "." + std::string(places - rest.size(), '0') + rest;
  }
  return (negative && scaled != 0 ? "-" : "") + text;
}

}  // namespace macrovpn::sim::plot
