// How good a call sounds: the E-model of ITU-T G.107 for G.711 without packet loss concealment (G.113: Ie 0, Bpl 4.3), as a mean opinion score.
//
//   R = 93.2 − delay − loss      delay 0.024·d, and 0.11·(d − 177.3) beyond 177.3 ms; loss 95·p / (p + 4.3), p in percent
//   MOS = 1 + 0.035·R + R·(R − 60)·(100 − R)·7/10⁶      above 4 people are satisfied, below 3 they are not
//
// In whole numbers, so that a result is the same on every machine.
#pragma once
#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace macrovpn::sim {

// Hundredths: 100 to 441. `one_way` from mouth to ear, with the listener's buffer; `missing` of `sent` packets were lost or came too late.
constexpr uint32_t mean_opinion(Duration one_way, uint64_t missing, uint64_t sent) {
  const int64_t us = one_way / std::chrono::microseconds(1);
  int64_t r = 93'200 - us * 24 / 1000;  // thousandths
  if (us > 177'300) r -= (us - 177'300) * 110 / 1000;
  if (sent > 0) {
    const auto p = static_cast<int64_t>(std::min(missing, sent) * 100'000 / sent);  // thousandths of a percent
    r -= 95'000 * p / (p + 4'300);
  }
  r = std::max<int64_t>(r, 0);
  const int64_t curve = r * (r - 60'000) / 1'000'000 * (100'000 - r) / 1'000 * 7;
  return static_cast<uint32_t>(std::max<int64_t>(100, (1'000'000 + r * 35 + curve + 5'000) / 10'000));
}

}  // namespace macrovpn::sim
