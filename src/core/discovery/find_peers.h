// find_peers: which relays have what somebody wants.  A query over what this node holds already; nothing is asked of anybody, so
// nobody learns what is wanted.
//
// A relay's descriptor only claims: its region, its bandwidth.  Each attribute of a result says how far it is more than a claim, and a
// query may ask for what is verified alone.  What nobody can know but us (latency, whether it works: model/relay_seen.h) is
// there or unknown.
//
// A query over 10,000 relays takes less than 1 ms (tests/bench/find_peers_bench.cpp); making PeerFacts of a directory costs about as much again.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "core/discovery/liveness_map.h"
#include "model/relay_details.h"
#include "model/relay_seen.h"

namespace macrovpn::discovery {

enum class Proof : uint8_t { unknown, claimed, verified, refuted };
const char* name_of(Proof);

struct PeerFacts {
  PeerId id;
  RelayFlags flags;
  Region region;
  Region database;  // what a country database says; not known: nothing
  Proof region_is = Proof::unknown;
  Proof bandwidth_is = Proof::unknown;
  Bandwidth bandwidth;  // claimed, or what others measured and we saw of it
  Wall created;
  std::optional<RelaySeen> seen;
  Liveness answers = Liveness::unknown;  // as we found, or as other relays say (liveness_map.h)
};
// From a descriptor and what we saw: a bandwidth counts as verified as far as we used it ourselves.
PeerFacts facts_of(const RelayInfo&, const std::optional<RelaySeen>&);

enum class PeerOrder : uint8_t { best, latency, bandwidth, reputation, age };
struct PeerQuery {
  RelayFlags roles;             // all of them
  Bandwidth min_bandwidth;      // zero: any
  Duration max_latency{};       // zero: any
  double min_reputation = 0;    // 0 to 1
  std::vector<Region> regions;  // empty: any
  enum class Regions : uint8_t { required, preferred } region_rule = Regions::required;
  enum class Claims : uint8_t { count, do_not_count } claims = Claims::count;
  // Relays of which we saw nothing, where latency or reputation is asked for.
  enum class Unseen : uint8_t { left_out, kept } unseen = Unseen::left_out;
  // Relays that are believed dead.
  enum class Dead : uint8_t { kept, left_out } dead = Dead::kept;
  PeerOrder order = PeerOrder::best;
  size_t most = SIZE_MAX;  // results; those first in order
};

struct FoundPeers {
  std::vector<const PeerFacts*> first;  // best first; into what was searched
  size_t matched = 0;                   // in all
};
FoundPeers find_peers(std::span<const PeerFacts>, const PeerQuery&, Wall now);

}  // namespace macrovpn::discovery
