// Capture: how many circuits of a flooded network begin and end at its attacker's relays, so that he may join who with where.
//
// By drawing: clients with the shipped GuardSet, MiddleSet and path choice over what the shipped RelaySet admitted.  All false relays
// work: one that fails is left, and captures less.
#pragma once
#include "sim/flood/population.h"

namespace macrovpn::sim {

struct CaptureModel {
  FloodModel flood;
  size_t clients = 400, circuits = 4;  // of each
};

struct CapturePoint {
  size_t honest = 0, false_ones = 0;  // admitted
  uint64_t circuits = 0, entry = 0, both = 0;
  uint32_t guards = 0, exits = 0;     // the attacker's share of what they are drawn by, of a million
  uint32_t both_ppm() const { return circuits == 0 ? 0 : static_cast<uint32_t>(both * 1'000'000 / circuits); }
  uint32_t entry_ppm() const { return circuits == 0 ? 0 : static_cast<uint32_t>(entry * 1'000'000 / circuits); }
};

CapturePoint capture(const CaptureModel&);

// What implied_share() says of both ends: no two hops of one AS.
uint32_t implied_capture(const FloodModel&);
// If relays were drawn by bandwidth alone, whatever their network.
uint32_t capture_without_weights(const FloodModel&, const CapturePoint& admitted);

}  // namespace macrovpn::sim
