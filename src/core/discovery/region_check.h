// What a relay's claim of a region is worth.
//
// Two witnesses.  A country database says to whom an address was given: right for some 95 of 100, and whoever wants to can rent an address
// elsewhere.  Delay says how far away a relay can be: light in fibre takes 1 ms for 200 km, so an answer after t came from no farther than
// 100 km per ms of t.  Delay can be added and never taken away: it refutes a claim for certain, and supports one only by being small.
//
//   refuted    some verifier of a place known for sure, or kRefuters others, heard it sooner than light could have come from there
//   verified   the database agrees, kSupporters verifiers inside the region measured kNear or less, and nobody refutes
//   claimed    all else
//
// Sound between continents, not between neighbours: kNear is 1500 km, and two countries that touch are never told apart by delay.  Verifiers'
// own places are claims as well, hence more than one.
#pragma once
#include <span>

#include "core/discovery/find_peers.h"

namespace macrovpn::discovery {

inline constexpr double kFibreKmPerMs = 200;   // one way
inline constexpr Duration kNear = 15ms;        // least round trip of kSamples
inline constexpr size_t kSamples = 10;
inline constexpr size_t kSupporters = 2, kRefuters = 2;

struct RegionProbe {
  Region from;              // where the verifier is
  Duration least{};         // round trip to the relay alone, nothing between
  size_t samples = 0;
  enum class Trust : uint8_t { ours, claimed } trust = Trust::claimed;  // ours: we measured, and know where we are
};

// Whether an answer after `least` cannot have come from there.  False where the table lacks a country.
bool delay_refutes(Region from, Region claim, Duration least);

struct RegionEvidence {
  Region claim;
  Region database;  // not known: the database has nothing, or there is none
  std::span<const RegionProbe> probes = {};
};
Proof judge_region(const RegionEvidence&);

}  // namespace macrovpn::discovery
