#include "sim/scenario/pictures.h"

#include <algorithm>

#include "sim/plot/chart.h"

namespace macrovpn::sim {
namespace {

plot::Chart rate_of(const Simulation& run) {
  plot::Chart c{.title = "Contents carried, all clients together", .x = {"s", 1}, .y = {"Mbit/s", 1'000'000}};
  plot::Series rate{"both ways", {}};
  uint64_t before = 0;
  for (const Sample& s : run.samples()) {
    rate.points.push_back({static_cast<int64_t>(s.second), static_cast<int64_t>((s.delivered - before) * 8)});
    before = s.delivered;
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

// Each thousandth of what a histogram counted.
plot::Series quantiles_of(const std::string& name, const Histogram& h) {
  plot::Series s{name, {}};
  for (uint32_t part = 1; part <= 1000 && h.count() > 0; part++) s.points.push_back({h.at(part) / 1ms, 0});
  return s;
}

plot::Chart waits_of(const Simulation& run) {
  plot::Chart c{.title = "How long pages and transfers took", .kind = plot::Kind::cumulative, .x = {"ms", 1}, .y = {"share", 1}};
  const LoadReport pages = run.load_of(Work::browse);
  c.series = {quantiles_of("first byte of pages", pages.first_byte), quantiles_of("pages", pages.latency),
              quantiles_of("downloads", run.load_of(Work::download).latency), quantiles_of("uploads", run.load_of(Work::upload).latency)};
  std::erase_if(c.series, [](const plot::Series& s) { return s.points.empty(); });
  return c;
}

// A point for each client: its transfers together.
plot::Chart throughput_of(const Simulation& run) {
  plot::Chart c{.title = "Throughput of clients while they transfer", .kind = plot::Kind::cumulative, .x = {"Mbit/s", 1000}, .y = {"share", 1}};
  for (const Work work : {Work::download, Work::upload}) {
    plot::Series s{to_string(work), {}};
    for (const Simulation::Worker& worker : run.workers()) {
      const LoadReport& r = worker.load->report();
      const int64_t us = r.latency.mean() / 1us;
      if (worker.work == work && us > 0) s.points.push_back({static_cast<int64_t>(worker.file) * 8000 / us, 0});
    }
    if (!s.points.empty()) c.series.push_back(std::move(s));
  }
  return c;
}

plot::Chart calls_of(const Simulation& run) {
  plot::Chart c{.title = "One way of a call's packets, mouth to ear", .kind = plot::Kind::cumulative, .x = {"ms", 1}, .y = {"share", 1}};
  c.series = {quantiles_of("packets", run.load_of(Work::call).latency)};
  std::erase_if(c.series, [](const plot::Series& s) { return s.points.empty(); });
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
  std::vector<Picture> all{{"rate.svg", plot::to_svg(rate_of(run))},
                           {"clients.svg", plot::to_svg(clients_of(run))},
                           {"paths.svg", plot::to_svg(paths_of(choice))}};
  // Where nobody does such a thing, there is no picture of it.
  for (const auto& [name, chart] : {std::pair("waits.svg", waits_of(run)), std::pair("throughput.svg", throughput_of(run)),
                                    std::pair("calls.svg", calls_of(run))}) {
    if (!chart.series.empty()) all.push_back({name, plot::to_svg(chart)});
  }
  return all;
}

}  // namespace macrovpn::sim
