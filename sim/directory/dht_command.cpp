// ./simulate dht
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>

#include "base/result.h"
#include "sim/directory/dht_trial.h"

namespace macrovpn::sim {
namespace {

constexpr const char* kUsage =
    "usage: simulate dht [--relays N] [--keys N] [--dead SHARE] [--evil SHARE] [--seed N] [--json]\n"
    "  --relays N   relays (10000); 30 to 25000\n"
    "  --keys N     that are put and got (2000)\n"
    "  --dead S     of them die (0.3)\n"
    "  --evil S     of them drop, serve what is old, forge or refuse (0.5)\n"
    "  --seed N     what is random follows from it; the same seed gives the same run (1)\n"
    "  --json       the result as one JSON object\n";

struct Options {
  DhtModel model;
  bool json = false;
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
    double share = -1;
    const char* const from = value.data();
    const char* const to = from + value.size();
    const bool whole = std::from_chars(from, to, n).ptr == to && !value.empty();
    const bool part = std::from_chars(from, to, share).ptr == to && share >= 0 && share <= 1;
    if (w == "--relays" && whole && n >= 30 && n <= 25'000) {
      o.model.relays = n;
    } else if (w == "--keys" && whole && n >= 1 && n <= 100'000) {
      o.model.keys = n;
    } else if (w == "--seed" && whole) {
      o.model.seed = n;
    } else if (w == "--dead" && part) {
      o.model.dead = static_cast<uint32_t>(share * 1e6 + 0.5);
    } else if (w == "--evil" && part) {
      o.model.evil = static_cast<uint32_t>(share * 1e6 + 0.5);
    } else {
      return fail("\"" + w + " " + value + "\" is not understood");
    }
  }
  return o;
}

}  // namespace

int simulate_dht(const std::vector<std::string>& words) {
  const auto options = read_options(words);
  if (!options.ok()) {
    std::fprintf(stderr, "simulate: %s\n%s", options.error().message.c_str(), kUsage);
    return 2;
  }
  DhtReport r = try_dht(options->model);
  std::sort(r.took.begin(), r.took.end());
  const bool held = r.right * 100 >= r.gets * 99;
  const auto n = [](uint64_t v) { return static_cast<unsigned long long>(v); };
  const auto ms = [&](size_t per_mille) { return n(static_cast<uint64_t>(r.took[(r.took.size() - 1) * per_mille / 1000] / 1ms)); };
  std::printf(options->json ? "{\"relays\":%llu,\"gets\":%llu,\"right\":%llu,\"old\":%llu,\"nothing\":%llu,\"forged\":%llu,\"puts\":%llu,\"acknowledged\":%llu,"
                              "\"asked\":%llu,\"bytes\":%llu,\"median_ms\":%llu,\"p99_ms\":%llu,\"held\":%s,\"hash\":\"%016llx\"}\n"
                            : "%llu relays\n  %llu gets: %llu right, %llu old, %llu without a record, %llu forged\n  %llu puts, %llu with six holders or more\n"
                              "  %llu questions of gets, %llu bytes of all; a get took %llu ms, 99 of 100 at most %llu ms\n  at least 99 %% right: %s\n  hash %016llx\n",
              n(options->model.relays), n(r.gets), n(r.right), n(r.old), n(r.nothing), n(r.forged), n(r.puts), n(r.acknowledged), n(r.asked), n(r.bytes), ms(500),
              ms(990), held ? (options->json ? "true" : "yes") : (options->json ? "false" : "NO"), n(r.hash));
  return held && r.forged == 0 ? 0 : 1;
}

}  // namespace macrovpn::sim
