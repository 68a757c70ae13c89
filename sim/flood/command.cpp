#include "sim/flood/command.h"

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "sim/flood/builds.h"
#include "sim/flood/capture.h"

namespace macrovpn::sim {
namespace {

constexpr const char* kUsage =
    "usage: simulate flood [--honest N] [--ratio N] [--as N] [--clients N] [--seed N] [--plot FOLDER] [--json]\n"
    "  --honest N   honest relays (50); 20 to 600\n"
    "  --ratio N    false ones for each of them (40)\n"
    "  --as N       autonomous systems of the attacker, 4 /16 each (10); 2 to 60\n"
    "  --clients N  that wish for circuits, five times each (40); 0: none\n"
    "  --seed N     what is random follows from it; the same seed gives the same run (1)\n"
    "  --plot F     share of circuits captured with 2 to 50 systems, as SVG into that folder; takes a minute\n"
    "  --json       the results as one JSON object\n";

constexpr uint32_t kFulfilledPerMille = 950;
constexpr std::array<size_t, 10> kSystems{2, 3, 5, 8, 10, 15, 20, 30, 40, 50};
// What is drawn is not exactly what is implied: 400 clients keep to a guard each (three deviations are 7 points), and some honest relays share
// networks and weigh less.
constexpr uint32_t kChance = 80'000;

struct Options {
  FloodModel flood{.honest = 50};
  size_t clients = 40;
  bool json = false;
  std::string plot;
};

Result<Options> read_options(const std::vector<std::string>& words) {
  Options o;
  for (size_t i = 0; i < words.size(); i++) {
    const std::string& w = words[i];
    if (w == "--json") {
      o.json = true;
      continue;
    }
    const std::string value = i + 1 < words.size() ? words[++i] : "";
    uint64_t n = 0;
    const auto [end, wrong] = std::from_chars(value.data(), value.data() + value.size(), n);
    const bool read = !value.empty() && wrong == std::errc() && end == value.data() + value.size();
    if (w == "--plot" && !value.empty()) {
      o.plot = value;
    } else if (w == "--honest" && read && n >= 20 && n <= 600) {
      o.flood.honest = n;
    } else if (w == "--ratio" && read && n <= 100) {
      o.flood.ratio = n;
    } else if (w == "--as" && read && n >= 2 && n <= 60) {
      o.flood.systems = n;
    } else if (w == "--clients" && read && n <= 1000) {
      o.clients = n;
    } else if (w == "--seed" && read) {
      o.flood.seed = n;
    } else {
      return fail("\"" + w + " " + value + "\" is not understood");
    }
  }
  return o;
}

class OnStderr final : public Progress {
 public:
  void at(const std::string& what, size_t done, size_t of) override {
    std::fprintf(stderr, "flood, %s: %zu of %zu\n", what.c_str(), done + 1, of);
  }
};

struct Row {
  size_t systems = 0;
  CapturePoint honest_as, lying_as;
  uint32_t implied = 0, implied_lying = 0, unweighted = 0;
  bool held() const { return honest_as.both_ppm() <= implied + kChance && lying_as.both_ppm() <= implied_lying + kChance; }
};

Row row_of(FloodModel model, size_t systems) {
  model.systems = systems;
  Row r{.systems = systems};
  r.honest_as = capture({.flood = model});
  r.implied = implied_capture(model);
  r.unweighted = capture_without_weights(model, r.honest_as);
  model.lies_about_systems = true;
  r.lying_as = capture({.flood = model});
  r.implied_lying = implied_capture(model);
  return r;
}

plot::Picture picture_of(const std::vector<Row>& rows, const FloodModel& model) {
  plot::Chart chart{.title = "Circuits with both ends captured: " + std::to_string(model.honest) + " honest relays, " +
                             std::to_string(model.honest * model.ratio) + " false ones",
                    .x = {.name = "autonomous systems of the attacker, four /16 each", .from = 0, .to = 50},
                    .y = {.name = "% of circuits", .unit = 10'000, .from = 0, .to = 1'000'000}};
  const auto series = [&](const char* name, bool dashed, auto&& value) {
    plot::Series s{name, {}, dashed};
    for (const Row& r : rows) s.points.push_back({static_cast<int64_t>(r.systems), static_cast<int64_t>(value(r))});
    chart.series.push_back(std::move(s));
  };
  series("drawn", false, [](const Row& r) { return r.honest_as.both_ppm(); });
  series("implied by quotas and weights", true, [](const Row& r) { return r.implied; });
  series("drawn, he lies about his systems", false, [](const Row& r) { return r.lying_as.both_ppm(); });
  series("implied then", true, [](const Row& r) { return r.implied_lying; });
  series("if bandwidth alone weighed", true, [](const Row& r) { return r.unweighted; });
  return {"flood-" + std::to_string(model.honest) + ".svg", plot::to_svg(chart)};
}

Table table_of(const std::vector<Row>& rows) {
  Table t{"Both ends captured", {"AS", "honest", "false admitted", "guards", "exits", "entry", "both ends", "implied", "lying about AS", "implied then", "by bandwidth alone"}, {}};
  for (const Row& r : rows) {
    const auto pct = [](uint32_t ppm) { return Cell(percent_text(ppm / 1000 * 1000)); };
    t.rows.push_back({uint64_t{r.systems}, uint64_t{r.honest_as.honest}, uint64_t{r.honest_as.false_ones}, pct(r.honest_as.guards), pct(r.honest_as.exits),
                      pct(r.honest_as.entry_ppm()), pct(r.honest_as.both_ppm()), pct(r.implied), pct(r.lying_as.both_ppm()), pct(r.implied_lying),
                      pct(r.unweighted)});
  }
  return t;
}

Table builds_table() {
  return {"Wishes of clients, real nodes; a third of the false relays is absent, a third drops, a third works",
          {"comparisons", "honest", "false", "wishes", "answered in 30 s", "per mille", "50 %, ms", "90 %", "99 %", "builds", "per mille of them ready"}, {}};
}

std::vector<Cell> row_of(size_t comparisons, BuildsReport& b) {
  return {uint64_t{comparisons}, uint64_t{b.honest}, uint64_t{b.false_ones}, b.wishes, b.fulfilled, uint64_t{b.fulfilled_per_mille()},
          milliseconds(quantile(b.took, 500)), milliseconds(quantile(b.took, 900)), milliseconds(quantile(b.took, 990)), b.attempts, uint64_t{b.ready_per_mille()}};
}

bool write_file(const std::string& folder, const plot::Picture& p) {
  std::error_code wrong;
  std::filesystem::create_directories(folder, wrong);
  std::ofstream file(std::filesystem::path(folder) / p.name);
  if (file << p.svg) return true;
  std::fprintf(stderr, "simulate: nothing can be written to %s; give a folder of your own to --plot\n", folder.c_str());
  return false;
}

}  // namespace

int simulate_flood(const std::vector<std::string>& words) {
  const auto options = read_options(words);
  if (!options.ok()) {
    std::fprintf(stderr, "simulate: %s\n%s", options.error().message.c_str(), kUsage);
    return 2;
  }
  OnStderr progress;
  Study study{.name = "flood"};
  bool held = true;
  if (options->clients > 0) {
    Table table = builds_table();
    for (const size_t comparisons : {0, 3}) {
      BuildsReport builds = try_builds({.flood = options->flood, .clients = options->clients, .comparisons = comparisons}, progress);
      held &= builds.fulfilled_per_mille() >= kFulfilledPerMille && (comparisons == 0 || builds.ready_per_mille() >= kFulfilledPerMille);
      study.count(builds.hash, 0);
      table.rows.push_back(row_of(comparisons, builds));
    }
    study.tables.push_back(std::move(table));
  }
  std::vector<Row> rows;
  if (options->plot.empty()) {
    rows.push_back(row_of(options->flood, options->flood.systems));
  } else {
    for (size_t i = 0; i < kSystems.size(); i++) {
      progress.at("systems", i, kSystems.size());
      rows.push_back(row_of(options->flood, kSystems[i]));
    }
    if (!write_file(options->plot, picture_of(rows, options->flood))) return 2;
  }
  for (const Row& r : rows) held &= r.held();
  study.tables.push_back(table_of(rows));
  std::fputs((options->json ? json_of(study, options->flood.seed) + "\n" : text_of(study)).c_str(), stdout);
  return held ? 0 : 1;
}

}  // namespace macrovpn::sim
