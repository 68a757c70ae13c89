// Geography: how far places are from each other, in microseconds.
//
//   one way = kAtTheEnds + great circle · route factor / (2/3 · c)        then the access of each end (access.h)
//
// Light in glass is at 2/3 of c, 5.003 µs a kilometre.  Cables and routes are no great circles; a factor of 1.5 gives round trips
// like those that one sees between well-connected places (London to New York 5570 km: 84 ms; they are a little less there, and
// more where cables go round a continent).  What counts for the core is that near and far differ as they do in the world.
//
// The matrix is made by the compiler, in whole numbers from a table of coordinates: no floating point, so that every machine has the
// same.
#pragma once
#include <array>
#include <string_view>

#include "base/rng.h"
#include "base/time.h"
#include "model/relay.h"

namespace macrovpn::sim {

enum class Place : uint8_t {
  frankfurt,
  london,
  warsaw,
  new_york,
  dallas,
  san_francisco,
  sao_paulo,
  johannesburg,
  lagos,
  mumbai,
  singapore,
  tokyo,
  sydney,
  kCount
};
inline constexpr size_t kPlaces = static_cast<size_t>(Place::kCount);

struct PlaceFacts {
  std::string_view name;   // as in scenarios: "sao-paulo"
  ByteArray<2> country;    // ISO 3166
  int32_t latitude, longitude;  // hundredths of a degree, north and east positive
  uint32_t weight;         // of a thousand hosts, how many are around here
};
const PlaceFacts& facts(Place);
std::optional<Place> place_named(std::string_view);
Region region_of(Place);
// Drawn by weight.
Place draw_place(Rng&);

// Route over great circle, in thousandths.
inline constexpr uint32_t kRouteFactor = 1500;
// Routers and exchanges at both ends together.
inline constexpr Duration kAtTheEnds = 300us;

uint32_t kilometres(Place, Place);
// One way, without the access of either end: a whole number of microseconds.
Duration latency(Place, Place);

}  // namespace macrovpn::sim
