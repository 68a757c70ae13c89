// Quantiles: a distribution as a table, drawn from with whole numbers: sizes, pauses and sessions whose tails are heavy.
//
//   {{0, 200}, {500'000, 12'000}, {1'000'000, 8'000'000}}      half of all are between 200 and 12,000; between two rows a draw is uniform
//
// A row is (share of all that are at most this, in parts of a million; value). The first share is 0, the last kAlways, and both rise.
#pragma once
#include <span>

#include "sim/net/link.h"

namespace macrovpn::sim {

struct Quantile {
  Ppm share;
  uint64_t value;
};
using Quantiles = std::span<const Quantile>;

uint64_t draw(Quantiles, Rng& random);
// The whole table's mean.
uint64_t mean(Quantiles);

// What a person's browser fetches, and how long a person reads. Figures of the usual order, not measured ones.
Quantiles page_objects();       // objects of a page beside the first
Quantiles first_object_bytes();
Quantiles object_bytes();
Quantiles reading_milliseconds();
// How long computers stay: most come for minutes, a few for weeks (relays), as seen in every peer-to-peer network (heavy tails).
Quantiles client_session_seconds();
Quantiles relay_session_seconds();
Quantiles absence_seconds();

}  // namespace macrovpn::sim
