#include "sim/flood/capture.h"

#include <algorithm>
#include <numeric>

#include "core/peers/guard_set.h"
#include "core/peers/middle_set.h"
#include "core/routing/weights.h"

namespace macrovpn::sim {
namespace {

using routing::Role;

std::vector<const RelayInfo*> fitting(const PopulationView& view, Role role) {
  std::vector<const RelayInfo*> out;
  for (const RelayInfo* r : view.all()) {
    if (routing::fits(*r, role)) out.push_back(r);
  }
  return out;
}

uint32_t share_of_false(const PopulationView& view, std::span<const RelayInfo* const> relays, const Network& network, Wall now) {
  const auto weights = routing::weights_of(relays, network, now);
  double his = 0, all = 0;
  for (size_t i = 0; i < relays.size(); i++) {
    const auto w = static_cast<double>(weights[i]);
    all += w;
    his += view.is_false(relays[i]->id) ? w : 0;
  }
  return all == 0 ? 0 : static_cast<uint32_t>(1e6 * his / all);
}

uint32_t both_ends(double q, double in_another_system) {
  const double behind = q * in_another_system;  // of what an exit may be drawn from, behind a false guard
  return static_cast<uint32_t>(1e6 * q * behind / (1 - q + behind));
}

}  // namespace

CapturePoint capture(const CaptureModel& m) {
  const Population population = flood(m.flood);
  const PopulationView view(population);
  const Wall now = population.admitted.front().info.expiry - std::chrono::hours(24);
  SeededRng rng = Streams(m.flood.seed).of("clients", m.flood.systems);
  const auto guards = fitting(view, Role::guard), middles = fitting(view, Role::middle), exits = fitting(view, Role::exit);
  const routing::WeightedDraw guard_draw(guards, population.network, now), middle_draw(middles, population.network, now);
  CapturePoint out{.honest = population.honest, .false_ones = population.false_ones};
  out.guards = share_of_false(view, guards, population.network, now);
  out.exits = share_of_false(view, exits, population.network, now);
  for (size_t c = 0; c < m.clients; c++) {
    peers::GuardSet own_guards;
    peers::MiddleSet own_middles;
    for (int tries = 0; own_guards.wants_more() && tries < 100; tries++) static_cast<void>(own_guards.add(guard_draw.draw(rng)->id, now));
    for (int tries = 0; own_middles.wants_more() && tries < 100; tries++) own_middles.add(middle_draw.draw(rng)->id, now, rng);
    routing::PathRequest request{.guards = own_guards.in_order(Mono(1h)), .middles = own_middles.ids()};
    for (size_t i = 0; i < m.circuits; i++) {
      const auto path = routing::choose_path(request, view, population.network, now, rng);
      if (!path.ok()) continue;
      const bool entry = view.is_false(path->front()->id);
      out.circuits++;
      out.entry += entry;
      out.both += entry && view.is_false(path->back()->id);
    }
  }
  return out;
}

uint32_t implied_capture(const FloodModel& m) {
  const double systems = static_cast<double>(m.lies_about_systems ? m.systems * kPrefixesOfSystem : m.systems);
  return both_ends(implied_share(m) / 1e6, 1 - 1 / systems);
}

uint32_t capture_without_weights(const FloodModel& m, const CapturePoint& admitted) {
  const double his = static_cast<double>(admitted.false_ones * m.claims);
  return both_ends(his / (his + static_cast<double>(admitted.honest)), 1 - 1 / static_cast<double>(m.systems));
}

}  // namespace macrovpn::sim
