// The one-hop DHT among relays of which many are dead and many evil: how many gets answer rightly.
//
// The shipped DhtPlaces, DhtStore, DhtPutOperation and DhtGet; messages take 10 to 340 ms there and back, one in a hundred is lost.  Evil relays, a quarter each,
//   drop    say nothing
//   old     say that they stored it, and serve the first version
//   forge   say that they stored it, and serve what they made up: bent, of another owner, of another key
//   refuse  store nothing and know nothing
//
// Each owner puts a first version and then a second.  Half of the keys are put before the others die; the rest afterwards, since a directory
// lists the dead for a day and a half.  A get is right if it brings the second version.
#pragma once
#include <string>
#include <vector>

#include "base/time.h"

namespace macrovpn::sim {

struct DhtModel {
  size_t relays = 10'000, keys = 2'000;
  uint64_t seed = 1;
  uint32_t dead = 300'000, evil = 500'000;  // of a million
};

struct DhtReport {
  uint64_t gets = 0, right = 0, old = 0, nothing = 0, forged = 0;
  uint64_t puts = 0, acknowledged = 0;  // by six holders and more
  uint64_t asked = 0, bytes = 0;        // questions of all gets; bytes of requests and answers of all
  std::vector<Duration> took;           // gets
  uint64_t hash = 0;
};

DhtReport try_dht(const DhtModel&);

int simulate_dht(const std::vector<std::string>& words);  // 0: 99 of 100 gets were right; 1: not so; 2: not understood

}  // namespace macrovpn::sim
