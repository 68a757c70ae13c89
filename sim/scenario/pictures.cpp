#include "sim/scenario/pictures.h"

#include <algorithm>

#include "sim/plot/chart.h"

namespace macrovpn::sim {
namespace {

plot::Chart rate_of(const Simulation& run) {
  plot::Chart c{.title = "Carried to programs, all clients together", .x = {"s", 1}, .y = {"Mbit/s", 1'000'000}};
  plot::Series rate{"down", {}};
  uint64_t before = 0;
  for (const Sample& s : run.samples()) {
    rate.points.push_back({static_cast<int64_t>(s.second), static_cast<int64_t>((s.bytes_down - before) * 8)});
    before = s.bytes_down;
  }
  c.series = {std::move(rate)};
  return c;
}

plot::Chart clients_of(const Simulation& run) {
  plot::Chart c{.title = "Clients that are awake, and those with a circuit", .x = {"s", 1}, .y = {"clients", 1}};
  plot::Series awake{"awake", {}}, ready{"with a circuit", {}};
  for (const Sample& s : run.samples()) {
    awake.points.push_back({static_cast<int64_t>(s.second), static_cast<int64_t>(s.clients)});
    ready.points.push_back({static_cast<int64_t>(s.second), static_cast<int64_t>(s.protected_clients)});
  }
  c.series = {std::move(awake), std::move(ready)};
  return c;
}

plot::Chart answers_of(const Simulation& run) {
  plot::Chart c{.title = "How long a page or an answer took", .kind = plot::Kind::cumulative, .x = {"ms", 1}, .y = {"share", 1}};
  plot::Series s{"answers", {}};
  for (const uint32_t ms : run.latencies().milliseconds) s.points.push_back({ms, 0});
  c.series = {std::move(s)};
  return c;
}

plot::Chart paths_of(const PathChoice& choice) {
  plot::Chart c{.title = "Where circuits begin, pass and end", .kind = plot::Kind::bars, .x = {"", 1}, .y = {"hops", 1}};
  c.series = {{"first", {}}, {"between", {}}, {"last", {}}};
  for (const auto& [place, counts] : choice.by_place()) {
    const auto at = static_cast<int64_t>(c.labels.size());
    c.labels.emplace_back(facts(place).name);
    for (size_t i = 0; i < counts.size(); i++) c.series[i].points.push_back({at, static_cast<int64_t>(counts[i])});
  }
  return c;
}

}  // namespace

void PathChoice::node_event(World& w, const Host& h, const node::NodeEvent& event) {
  const auto* ready = std::get_if<node::CircuitReady>(&event);
  if (ready == nullptr || !h.node->client()) return;
  const auto at = h.node->client()->circuits().find(ready->circuit);
  if (at == h.node->client()->circuits().end()) return;
  const auto& hops = at->second.hops;
  for (size_t i = 0; i < hops.size(); i++) {
    const Host* relay = w.relay_of(hops[i].relay.id);
    if (relay != nullptr) by_place_[relay->place][i + 1 == hops.size() ? 2 : i == 0 ? 0 : 1]++;
  }
}

std::vector<Picture> pictures_of(const Simulation& run, const PathChoice& choice) {
  return {{"rate.svg", plot::to_svg(rate_of(run))},
          {"clients.svg", plot::to_svg(clients_of(run))},
          {"answers.svg", plot::to_svg(answers_of(run))},
          {"paths.svg", plot::to_svg(paths_of(choice))}};
}

}  // namespace macrovpn::sim
