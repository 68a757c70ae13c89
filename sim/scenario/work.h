// What the programs of a scenario's clients do, and the sites that they visit: sim/load with the habits that a crowd's sentence gives.
//
//   browse     pages and pauses with heavy tails (sim/load/quantiles.h), or about as large and as long as the sentence says
//   download   files of 1 MB, a second between two        upload: the same, the other way
//   call       a minute, a packet of 160 bytes every 20 ms both ways; half a minute between two
//
// Three of four computers speak CUBIC, the others NewReno.
#pragma once
#include "sim/load/workload.h"
#include "sim/scenario/scenario.h"

namespace macrovpn::sim {

inline constexpr Duration kPlayout = 80ms;  // of a call's listener

// Of a crowd that downloads or uploads.
inline uint64_t file_bytes(const Crowd& c) { return c.bytes == 0 ? 1'000'000 : c.bytes; }

// `random` outlives the workload.
std::unique_ptr<Workload> make_work(const Crowd&, size_t number, const std::vector<IpAddress>& sites, Ppm by_v6, Mono begins, Rng& random);
std::unique_ptr<Workload> make_site(size_t number, Rng& random);

}  // namespace macrovpn::sim
