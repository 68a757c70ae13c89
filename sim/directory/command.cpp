#include "sim/directory/command.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>

#include "sim/directory/directory_trial.h"

namespace macrovpn::sim {
namespace {

constexpr const char* kUsage =
    "usage: simulate directory [--relays N] [--seed N] [--loss PERCENT] [--only TRIAL]... [--json]\n"
    "  --relays N   how many hold the directory (1000); 20 to 25000\n"
    "  --seed N     what is random follows from it; the same seed gives the same run (1)\n"
    "  --loss P     so many of a hundred datagrams are lost (1)\n"
    "  --only T     this trial: upkeep, news, newcomers, equivocation, censors, partition, clocks or deaths\n"
    "  --json       the result as one JSON object\n";

struct Options {
  DirectoryOptions world;
  std::vector<std::string> only;
  bool json = false;
};

template <class T>
bool read_number(const std::string& word, T& out, T low, T high) {
  const auto [end, wrong] = std::from_chars(word.data(), word.data() + word.size(), out);
  return wrong == std::errc() && end == word.data() + word.size() && out >= low && out <= high;
}

Result<Options> read_options(const std::vector<std::string>& words) {
  Options o;
  for (size_t i = 0; i < words.size(); i++) {
    const std::string& w = words[i];
    const std::string value = i + 1 < words.size() ? words[i + 1] : "";
    bool good = true;
    if (w == "--json") {
      o.json = true;
      continue;
    }
    if (w == "--relays") {
      good = read_number<size_t>(value, o.world.relays, 20, kMaxDirectoryRelays);
    } else if (w == "--seed") {
      good = read_number<uint64_t>(value, o.world.seed, 0, UINT64_MAX);
    } else if (w == "--loss") {
      good = read_number<unsigned>(value, o.world.loss_percent, 0, 50);
    } else if (w == "--only") {
      if (std::find(std::begin(kDirectoryTrials), std::end(kDirectoryTrials), value) == std::end(kDirectoryTrials))
        return fail("there is no trial \"" + value + "\"");
      o.only.push_back(value);
    } else {
      return fail("\"" + w + "\" is not understood");
    }
    if (!good) return fail("\"" + w + "\" needs a whole number within its bounds, not \"" + value + "\"");
    i++;
  }
  return o;
}

std::string text_of(const DirectoryReport& r, const Options& o, double seconds) {
  char line[240];
  std::snprintf(line, sizeof line, "%zu relays, %llu messages, %lld virtual minutes in %.1f s\n", o.world.relays,
                static_cast<unsigned long long>(r.messages), static_cast<long long>(r.virtual_time / 60s), seconds);
  std::string out = line;
  for (const DirectoryFigure& f : r.figures) {
    std::snprintf(line, sizeof line, "  %-4s %-78s %8lld %-3s (at most %lld)\n", f.held() ? "held" : "NOT", f.what.c_str(),
                  static_cast<long long>(f.value), f.unit.c_str(), static_cast<long long>(f.at_most));
    out += line;
  }
  std::snprintf(line, sizeof line, "  hash %016llx\n", static_cast<unsigned long long>(r.hash));
  return out + line;
}

std::string json_of(const DirectoryReport& r, const Options& o, double seconds) {
  char line[200];
  std::snprintf(line, sizeof line, "{\"relays\":%zu,\"seed\":%llu,\"loss_percent\":%u,\"messages\":%llu,\"seconds\":%.1f,\"held\":%s,\"hash\":\"%016llx\"",
                o.world.relays, static_cast<unsigned long long>(o.world.seed), o.world.loss_percent,
                static_cast<unsigned long long>(r.messages), seconds, r.held() ? "true" : "false", static_cast<unsigned long long>(r.hash));
  std::string out = line;
  for (const DirectoryFigure& f : r.figures) {
    std::snprintf(line, sizeof line, ",\"%s\":%lld", f.name.c_str(), static_cast<long long>(f.value));
    out += line;
  }
  return out + "}\n";
}

}  // namespace

int simulate_directory(const std::vector<std::string>& words) {
  const auto options = read_options(words);
  if (!options.ok()) {
    std::fprintf(stderr, "simulate: %s\n%s", options.error().message.c_str(), kUsage);
    return 2;
  }
  const auto began = std::chrono::steady_clock::now();
  const auto since = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); };
  const DirectoryReport report =
      try_directory(options->world, options->only, [&](const char* what) { std::fprintf(stderr, "%6.1f s  %s\n", since(), what); });
  std::fputs((options->json ? json_of(report, *options, since()) : text_of(report, *options, since())).c_str(), stdout);
  return report.held() ? 0 : 1;
}

}  // namespace macrovpn::sim
