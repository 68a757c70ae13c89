// How often each relay is drawn: what it counts as carrying, bounded by what its network, its operator and its age may have.
//
// Anybody can run relays without number, but not networks without number.  So those of one network count together:
//
//   one relay      its bandwidth, at most 4 x the median; times its age in days, which saturates at 14 (younger than a day: 1)
//   one prefix     (v4 /16, v6 /32; lengths from the network file)   8 relays' worth, or 1 % of all if that is more
//   one AS         8 relays' worth, or 2 % of all
//   one family     8 relays' worth, or 2 % of all
//
// Over its bound, all of a group are scaled down alike.  "All" is what there would be if no group had more than 8 relays' worth: of what there is, with the
// flood or after a cut to a share of it, two percent for each of 50 systems would be everything.  "Median" and "a relay's worth" are those of networks, each counting once, since the median relay of a
// flooded directory is the flood's: of prefixes, or of AS if that is less (a relay that names none is one by itself).  An AS number is the relay's own claim unless a local database said it: who lies about
// it meets the bound of his prefixes, which are where he is called.
//
// Of relays that may be chosen, so that the bounds hold among the exits of one country too.  Eight or fewer are never cut: "8 relays'
// worth" says nothing among them, and a client's set of middles was drawn by these weights already.
//
// Costs three sorts: 1 to 2 ms for ten thousand relays.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/time.h"
#include "model/network.h"
#include "model/relay.h"

namespace macrovpn::routing {

inline constexpr int64_t kFullAgeDays = 14;
inline constexpr uint64_t kWorthOfGroup = 8;                                    // relays
inline constexpr uint64_t kPrefixPerMille = 10, kSystemPerMille = 20, kFamilyPerMille = 20;

// One for each, never 0, in no unit; their sum fits with room to spare.
std::vector<uint64_t> weights_of(std::span<const RelayInfo* const>, const Network&, Wall now);

}  // namespace macrovpn::routing
