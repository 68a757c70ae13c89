#include "core/node/capacity.h"

#include <algorithm>

namespace macrovpn::node {

void limit_tables(NodeConfig& c, size_t circuits, uint64_t memory) {
  if (memory != 0) {
    const size_t fit = static_cast<size_t>((std::max(memory, peers::kLeastRelayMemory) - kFixedCost) / kCircuitCost);
    circuits = circuits == 0 ? fit : std::min(circuits, fit);
  }
  if (circuits == 0) return;
  c.legs.total = std::min(c.legs.total, circuits);
  c.leases.leases = std::min(c.leases.leases, circuits);
  c.leases.pending = std::min(c.leases.pending, circuits);
  // Each circuit has a session of its own, but for the guard's clients; and some are only being made.
  c.tunnels.ephemeral_peers = std::min(c.tunnels.ephemeral_peers, circuits + circuits / 4 + 64);
}

}  // namespace macrovpn::node
