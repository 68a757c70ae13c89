// Eclipse: clients whose sources are evil, all but one of three.  A newcomer must end with the honest relays or with none and a sentence
// that says why; who has a copy already must keep it.
#pragma once
#include <functional>

#include "sim/directory/directory_world.h"

namespace macrovpn::sim {

// What two of three sources, which work together, do.
enum class Deceit : uint8_t {
  empty,        // know nobody
  silent,       // never answer
  yes,          // say "equal" to whatever they are asked
  tiny,         // 20 relays of their own, in two /16
  tiny_spread,  // 20, each in a /16 of its own
  as_many,      // as many of their own as there are honest ones
  beside,       // the honest ones and as many of their own
  crowding,     // their own, in the honest ones' /24 and of lower rank, so that the quotas drop those
  hide_many,    // the honest ones but for 40 %
  hide_few,     // the honest ones but for 5 %, the same at both
  mixed,        // hide 3 % and add 3 %
  stale,        // the honest ones, as they were 20 hours ago
};
inline constexpr std::array kDeceits{Deceit::empty, Deceit::silent, Deceit::yes, Deceit::tiny, Deceit::tiny_spread, Deceit::as_many,
                                     Deceit::beside, Deceit::crowding, Deceit::hide_many, Deceit::hide_few, Deceit::mixed, Deceit::stale};
const char* to_string(Deceit);

struct EclipseOutcome {
  Deceit deceit{};
  bool knew = false;             // it had the honest set before
  size_t tries = 0, honest = 0, refused = 0, taken_in = 0;
  size_t most_false = 0, most_missing = 0;  // relays that it would choose, or would not, at worst, where it ended with the honest set
  std::string said;              // the last refusal
};

struct EclipseModel {
  size_t relays = 300;
  uint64_t seed = 1, seeds = 3;  // that many, from `seed` on
};

// Honest: at most a tenth of the honest ones missing, and at most a tenth of what it would choose false.  A source that is not believed by
// another tenth is what the shipped ClientCopy tells a newcomer about.
std::vector<EclipseOutcome> try_eclipses(const EclipseModel&, const std::function<void(const char*)>& progress);

int simulate_eclipse(const std::vector<std::string>& words);  // 0: nobody was taken in; 1: somebody was; 2: not understood

}  // namespace macrovpn::sim
