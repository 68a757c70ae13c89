#include "core/node/capacity.h"

#include <algorithm>

namespace macrovpn::node {
namespace {
// What one address, and one relay before us, may take of a small table; never less than a few.
constexpr size_t kPartOfSource = 16, kPartOfRelay = 4, kLeastShare = 8;

void lower(size_t& limit, size_t to) {
  limit = std::min(limit, to);
}
}  // namespace

void limit_tables(NodeConfig& c, size_t circuits, uint64_t memory) {
  if (memory != 0) {
    const size_t fit = static_cast<size_t>((std::max(memory, peers::kLeastRelayMemory) - kFixedCost) / kCircuitCost);
    circuits = circuits == 0 ? fit : std::min(circuits, fit);
  }
  if (circuits == 0) return;
  lower(c.legs.total, circuits);
  lower(c.leases.leases, circuits);
  lower(c.leases.pending, circuits);
  // Each circuit has a session of its own, but for the guard's clients; and some are only being made.
  lower(c.tunnels.ephemeral_peers, circuits + circuits / 4 + 64);
  const size_t of_source = std::max(circuits / kPartOfSource, kLeastShare);
  const size_t of_relay = std::max(circuits / kPartOfRelay, kLeastShare);
  for (size_t* limit : {&c.legs.per_source, &c.leases.per_source, &c.tunnels.ephemeral_per_source}) lower(*limit, of_source);
  for (size_t* limit : {&c.legs.per_relay, &c.leases.per_relay, &c.tunnels.ephemeral_per_relay}) lower(*limit, of_relay);
}

}  // namespace macrovpn::node
