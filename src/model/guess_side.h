// What a relay behind a NAT can be in a guess (core/discovery/port_guess.h), said in frames of introductions.
#pragma once
#include <cstdint>

namespace macrovpn {

enum class GuessSide : uint8_t {
  none = 0,  // no part of one, or not now
  easy = 1,  // one outside port for all: it goes looking
  hard = 2,  // another outside port for each that it sends to: it opens many
};

constexpr bool can_guess(GuessSide a, GuessSide b) {
  return (a == GuessSide::easy && b == GuessSide::hard) || (a == GuessSide::hard && b == GuessSide::easy);
}

}  // namespace macrovpn
