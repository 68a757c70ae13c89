// Access: the last mile of a host, each way a Link.  Typical lines, not measured ones; a scenario may change every figure.
//
//              one way          down / up          queue     loss
//   datacentre 0.2 ± 0.05 ms    1000 / 1000 Mbit/s  50 ms    none
//   fibre      2 ± 0.3 ms        300 / 100          60 ms    1 in 100,000
//   cable      6 ± 2 ms          150 / 15          200 ms    1 in 20,000
//   mobile     22 ± 9 ms          40 / 10          300 ms    1 in 2,000, in bursts of 4
//   satellite  275 ± 10 ms        50 / 5           500 ms    1 in 500, in bursts of 6      (geostationary: 2 · 35,786 km at c, and coding)
#pragma once
#include <optional>
#include <string_view>

#include "sim/net/link.h"

namespace macrovpn::sim {

enum class Access : uint8_t { datacentre, fibre, cable, mobile, satellite, kCount };
std::string_view to_string(Access);
std::optional<Access> access_named(std::string_view);

LinkModel uplink(Access);    // from the host
LinkModel downlink(Access);  // to the host

}  // namespace macrovpn::sim
