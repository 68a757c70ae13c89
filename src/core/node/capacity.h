// How large a relay's tables may become, from what its operator lends.
//
// A relayed circuit costs a relay less than 1.4 KiB (docs/benchmarks.md: a session and a leg); kCircuitCost leaves room for the
// tables' own growth and for half-open sessions.  kFixedCost is what a relay needs with no circuit at all, with the tables that
// strangers can fill (rate limits, replay cache) full.
#pragma once
#include "core/node/config.h"
#include "core/peers/resources.h"

namespace macrovpn::node {

inline constexpr uint64_t kCircuitCost = 2048;
inline constexpr uint64_t kFixedCost = 48u << 20;
static_assert(peers::kLeastRelayMemory > kFixedCost);

// 0: as many as the memory allows; memory 0: as the tables' own limits say.
void limit_tables(NodeConfig&, size_t circuits, uint64_t memory);

}  // namespace macrovpn::node
