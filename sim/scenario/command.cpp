#include "sim/scenario/command.h"

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "sim/scenario/pictures.h"
#include "sim/scenario/progress.h"
#include "sim/scenario/report.h"
#include "sim/scenario/run.h"

namespace macrovpn::sim {
namespace {

constexpr const char* kUsage =
    "usage: simulate SCENARIO [--seed N] [--trace] [--json] [--plot FOLDER]\n"
    "  SCENARIO    a file of sentences; sim/scenarios has some, docs/simulation.md says how to write one\n"
    "  --seed N    what is random follows from it; the same seed gives the same run (1)\n"
    "  --trace     tells what happened to whom\n"
    "  --plot F    draws rate, clients, answers and paths as SVG files into that folder\n"
    "  --json      the result as one JSON object\n"
    "  --help      says this\n";

struct Options {
  std::string scenario;
  uint64_t seed = 1;
  bool trace = false, json = false, help = false;
  std::string plot;
};

Result<Options> read_options(const std::vector<std::string>& words) {
  Options o;
  for (size_t i = 0; i < words.size(); i++) {
    const std::string& w = words[i];
    if (w == "--trace") {
      o.trace = true;
    } else if (w == "--json") {
      o.json = true;
    } else if (w == "--help" || w == "-h") {
      o.help = true;
      return o;
    } else if (w == "--plot" && i + 1 < words.size()) {
      o.plot = words[++i];
    } else if (w == "--seed" && i + 1 < words.size()) {
      const std::string& n = words[++i];
      const auto [end, wrong] = std::from_chars(n.data(), n.data() + n.size(), o.seed);
      if (wrong != std::errc() || end != n.data() + n.size()) return fail("a seed is a whole number, not \"" + n + "\"");
    } else if (w.starts_with("-") || !o.scenario.empty()) {
      return fail("\"" + w + "\" is not understood");
    } else {
      o.scenario = w;
    }
  }
  if (o.scenario.empty()) return fail("which scenario?");
  return o;
}

bool draw(const std::string& folder, const std::vector<Picture>& pictures) {
  std::error_code wrong;
  std::filesystem::create_directories(folder, wrong);
  for (const Picture& p : pictures) {
    std::ofstream file(std::filesystem::path(folder) / p.name);
    if (file << p.svg) continue;
    std::fprintf(stderr, "simulate: nothing can be written to %s; give a folder of your own to --plot\n", folder.c_str());
    return false;
  }
  return true;
}

// What a broken assertion of the core prints after its own sentence: without it nobody finds the run again.
const Simulation* running = nullptr;
uint64_t running_seed = 0;
void on_abort(int) {
  if (running == nullptr) return;
  std::fprintf(stderr, "FAILED at %s of virtual time: invariants\n  promise: no assertion of the core is ever broken\n"
               "  again:   ./simulate %s --seed %llu --trace\n",
               time_text(running->world().elapsed()).c_str(), running->scenario().file.c_str(),
               static_cast<unsigned long long>(running_seed));
  std::fflush(nullptr);
  std::_Exit(1);
}

}  // namespace

int simulate(const std::vector<std::string>& words) {
  const auto options = read_options(words);
  if (!options.ok()) {
    std::fprintf(stderr, "simulate: %s\n%s", options.error().message.c_str(), kUsage);
    return 2;
  }
  if (options->help) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  std::ifstream file(options->scenario);
  if (!file) {
    std::fprintf(stderr, "simulate: %s cannot be read; give the path of a scenario\n", options->scenario.c_str());
    return 2;
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto scenario = read_scenario(text, options->scenario);
  if (!scenario.ok()) {
    std::fprintf(stderr, "%s\n", scenario.error().message.c_str());
    return 2;
  }
  const auto began = std::chrono::steady_clock::now();
  Simulation run(*scenario, options->seed);
  Story story(options->json ? stderr : stdout);
  PathChoice paths;
  if (options->trace) run.watch(story);
  if (!options->plot.empty()) run.watch(paths);
  running = &run;
  running_seed = options->seed;
  std::signal(SIGABRT, on_abort);
  {
    Progress progress(scenario->lasts);
    if (!options->trace) run.watch(progress);
    run.go();
  }
  const Duration wall = std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began);
  running = nullptr;
  const std::string report = options->json ? json_report(run, options->seed, wall) : text_report(run, options->seed, wall);
  std::fputs(report.c_str(), stdout);
  if (!options->plot.empty() && !draw(options->plot, pictures_of(run, paths))) return 2;
  if (!run.failure()) return 0;
  std::fputs(failure_text(run.world(), *run.failure(), options->seed, options->scenario).c_str(), options->json ? stderr : stdout);
  return 1;
}

}  // namespace macrovpn::sim
