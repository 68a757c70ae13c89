// Population: honest relays, and somebody who floods the network with false ones; who of them gets into the directory.
//
//   240.0.0.0/4     where they live: no host of the internet has such an address; to this network it counts as global
//
// An honest relay lives in a /24 of its own, in one of (honest / 2, at least 40) autonomous systems that each hold a /16; the first have more,
// as is so outside.  The attacker has some systems with kPrefixesOfSystem /16 each, and as many relays as he likes, spread over his /24s.  The shipped RelaySet with the
// quotas of a public network says who stays: of one /24 two, of one /16 64.  He is as old as anybody (patient), and claims four times
// the bandwidth of the median, since more is cut.
//
// No keys and signatures here: a rank is drawn, as the proof of work draws it.
#pragma once
#include <vector>

#include "core/routing/path.h"
#include "sim/engine/streams.h"

namespace macrovpn::sim {

inline constexpr uint32_t kPrefixesOfSystem = 4;
inline constexpr uint32_t kFirstFalseSystem = 4'290'000'000;

struct FloodModel {
  uint64_t seed = 1;
  size_t honest = 500;
  size_t ratio = 40;    // false relays for each honest one
  size_t systems = 10;  // that the attacker has
  bool lies_about_systems = false;  // each of his relays claims an AS of its own
  uint64_t claims = 4;  // times an honest relay's bandwidth
};

struct FloodedRelay {
  RelayInfo info;
  bool is_false = false;
};

struct Population {
  Network network;
  Wall today;
  std::vector<FloodedRelay> admitted;  // by id
  size_t honest_tried = 0, false_tried = 0, honest = 0, false_ones = 0;
};

Population flood(const FloodModel&);

// What the quotas and the weights by network imply, worked out without drawing: the share of the attacker among what is drawn, of a million.
// All honest relays weigh one, and none of their groups is cut; half of all are guards and half are exits, drawn apart.
uint32_t implied_share(const FloodModel&);

class PopulationView final : public routing::Candidates {
 public:
  explicit PopulationView(const Population&);  // outlives it
  const RelayInfo* find(const PeerId&) const override;
  std::span<const RelayInfo* const> all() const override { return all_; }
  bool is_false(const PeerId&) const;

 private:
  const FloodedRelay* at(const PeerId&) const;
  const Population& population_;
  std::vector<const RelayInfo*> all_;
};

}  // namespace macrovpn::sim
