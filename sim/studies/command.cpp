#include "sim/studies/command.h"

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/result.h"
#include "sim/studies/circuits.h"
#include "sim/studies/recovery.h"
#include "sim/studies/throughput.h"

namespace macrovpn::sim {
namespace {

constexpr const char* kUsage =
    "usage: simulate study circuits|recovery|throughput|all [--seed N] [--plot FOLDER] [--json]\n"
    "  circuits    how long a new circuit takes, in one round trip and hop by hop\n"
    "  recovery    how long nothing answers when a relay of a circuit dies\n"
    "  throughput  what one TCP carries through a circuit, beside what the line leaves\n"
    "  --seed N    what is random follows from it; the same seed gives the same figures (1)\n"
    "  --plot F    draws pictures as SVG files into that folder\n"
    "  --json      the results as one JSON object a line\n";

struct Options {
  std::vector<std::string> names;
  uint64_t seed = 1;
  bool json = false;
  std::string plot;
};

Result<Options> read_options(const std::vector<std::string>& words) {
  Options o;
  for (size_t i = 0; i < words.size(); i++) {
    const std::string& w = words[i];
    if (w == "--json") {
      o.json = true;
    } else if (w == "--plot" && i + 1 < words.size()) {
      o.plot = words[++i];
    } else if (w == "--seed" && i + 1 < words.size()) {
      const std::string& n = words[++i];
      const auto [end, wrong] = std::from_chars(n.data(), n.data() + n.size(), o.seed);
      if (wrong != std::errc() || end != n.data() + n.size()) return fail("a seed is a whole number, not \"" + n + "\"");
    } else if (w == "all") {
      o.names = {"circuits", "recovery", "throughput"};
    } else if (w == "circuits" || w == "recovery" || w == "throughput") {
      o.names.push_back(w);
    } else {
      return fail("\"" + w + "\" is not understood");
    }
  }
  if (o.names.empty()) return fail("which study?");
  return o;
}

// One line that changes, at a terminal; else a line for each step.
class OnStderr final : public Progress {
 public:
  explicit OnStderr(std::string study) : study_(std::move(study)) {}
  ~OnStderr() override {
    if (terminal_) std::fputs("\r\x1b[K", stderr);
  }
  void at(const std::string& what, size_t done, size_t of) override {
    std::fprintf(stderr, terminal_ ? "\r\x1b[K%s %zu of %zu: %s" : "%s %zu of %zu: %s\n", study_.c_str(), done + 1, of, what.c_str());
    std::fflush(stderr);
  }

 private:
  std::string study_;
  bool terminal_ = isatty(STDERR_FILENO) == 1;
};

Study run(const std::string& name, uint64_t seed) {
  OnStderr progress(name);
  if (name == "circuits") return study_circuits({.seed = seed}, progress);
  if (name == "recovery") return study_recovery({.seed = seed}, progress);
  return study_throughput({.seed = seed}, progress);
}

bool draw(const std::string& folder, const std::vector<plot::Picture>& pictures) {
  std::error_code wrong;
  std::filesystem::create_directories(folder, wrong);
  for (const plot::Picture& p : pictures) {
    std::ofstream file(std::filesystem::path(folder) / p.name);
    if (file << p.svg) continue;
    std::fprintf(stderr, "simulate: nothing can be written to %s; give a folder of your own to --plot\n", folder.c_str());
    return false;
  }
  return true;
}

}  // namespace

int study(const std::vector<std::string>& words) {
  const auto options = read_options(words);
  if (!options.ok()) {
    std::fprintf(stderr, "simulate: %s\n%s", options.error().message.c_str(), kUsage);
    return 2;
  }
  for (const std::string& name : options->names) {
    const Study result = run(name, options->seed);
    std::fputs((options->json ? json_of(result, options->seed) + "\n" : text_of(result)).c_str(), stdout);
    std::fflush(stdout);
    if (!options->plot.empty() && !draw(options->plot, result.pictures)) return 2;
  }
  return 0;
}

}  // namespace macrovpn::sim
