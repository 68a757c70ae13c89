// Where countries are, roughly: a centre and how far the farthest land of that code is from it.  Rounded outwards, so that "too far away"
// is never said wrongly; territories with a code of their own (ISO 3166) count as their own.
#pragma once
#include <optional>

#include "model/relay.h"

namespace macrovpn::discovery {

struct Country {
  Region code;
  int16_t latitude, longitude;  // of the centre, whole degrees
  uint16_t reach_km;            // from there to its farthest land, and some more
};
std::optional<Country> country_of(Region);  // nothing: not in the table

// The shortest way over the ground between any place of the one and any of the other, at least; 0 where they may touch.
double least_km_between(const Country&, const Country&);

}  // namespace macrovpn::discovery
