#include "sim/reference/command.h"

#include <charconv>
#include <chrono>
#include <csignal>

#include "sim/reference/shrink.h"
#include "sim/reference/trial.h"
#include "sim/scenario/story.h"

namespace macrovpn::sim {
namespace {

constexpr const char* kUsage =
    "usage: simulate model [--seed N] [--runs N] [--seconds N] [--length N] [--keep] [--trace] [--json]\n"
    "  random operations on a model of the tunnel and on real nodes, compared after each (docs/simulation.md)\n"
    "  --seed N     of the first run; the next one has the seed after it (1)\n"
    "  --runs N     how many (1)\n"
    "  --seconds N  no further run is begun after so long\n"
    "  --length N   operations of a run (40)\n"
    "  --keep       a sequence that fails is not made shorter\n"
    "  --trace      tells what happened to whom in the run that failed, or in the last one\n"
    "  --json       the result as one JSON object\n";
constexpr size_t kMostTries = 300;  // at making a failure shorter

struct Options {
  uint64_t seed = 1, runs = 1, seconds = UINT64_MAX, length = 40;
  bool keep = false, trace = false, json = false;
};

Result<Options> read_options(const std::vector<std::string>& words) {
  Options o;
  for (size_t i = 0; i < words.size(); i++) {
    const std::string& w = words[i];
    uint64_t* number = w == "--seed" ? &o.seed : w == "--runs" ? &o.runs : w == "--seconds" ? &o.seconds : w == "--length" ? &o.length : nullptr;
    bool* flag = w == "--keep" ? &o.keep : w == "--trace" ? &o.trace : w == "--json" ? &o.json : nullptr;
    if (flag != nullptr) {
      *flag = true;
    } else if (number != nullptr && i + 1 < words.size()) {
      const std::string& n = words[++i];
      const auto [end, bad] = std::from_chars(n.data(), n.data() + n.size(), *number);
      if (bad != std::errc() || end != n.data() + n.size()) return fail(w + " wants a whole number, not \"" + n + "\"");
    } else {
      return fail("\"" + w + "\" is not understood");
    }
  }
  return o;
}

std::vector<Operation> operations_of(uint64_t seed, size_t length) {
  SeededRng rng = Streams(seed).of("operations");
  return draw_operations(rng, length);
}

// Without pauses where none is needed, too.
std::vector<Operation> shortest(uint64_t seed, std::vector<Operation> all, const std::string& checker) {
  const auto fails = [&](const std::vector<Operation>& some) {
    const TrialResult r = Trial(seed).run(some);
    return r.failure && r.failure->checker == checker;
  };
  all = shrink(std::move(all), kMostTries, fails);
  for (Operation& o : all) {
    const Duration before = std::exchange(o.then, 0ms);
    if (before != Duration(0) && !fails(all)) o.then = before;
  }
  return all;
}

// Goes through a sequence again, and tells it.
TrialResult tell(uint64_t seed, const std::vector<Operation>& operations, bool with_nodes, std::FILE* out) {
  Trial trial(seed);
  Story story(out);
  if (with_nodes) trial.watch(story);
  trial.told = [&](const World& w, const Operation& o) {
    std::fprintf(out, "%10s  %s%s\n", time_text(w.elapsed()).c_str(), with_nodes ? "---- " : "", words_of(o).c_str());
  };
  return trial.run(operations);
}

std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

int report_failure(uint64_t seed, const Options& o, const std::vector<Operation>& drawn, const TrialResult& first) {
  std::FILE* out = o.json ? stderr : stdout;
  const std::vector<Operation> some(drawn.begin(), drawn.begin() + static_cast<ptrdiff_t>(first.done));
  const auto few = o.keep ? some : shortest(seed, some, first.failure->checker);
  std::fprintf(out, "FAILED with seed %llu: %zu operations, of which %zu are needed\n", static_cast<unsigned long long>(seed), first.done,
               few.size());
  const TrialResult last = tell(seed, few, o.trace, out);
  const Failure& f = last.failure ? *last.failure : *first.failure;
  std::fprintf(out, "%10s  then all that was wrong is mended, and whoever is on goes on asking\n%10s  %s: %s\n", last.done < few.size() ? "" : "...",
               time_text(last.lasted).c_str(), f.checker.c_str(), f.seen.c_str());
  std::fprintf(out, "  promise: %s\n  again:   ./simulate model --seed %llu --length %llu --trace\n", f.promise.c_str(),
               static_cast<unsigned long long>(seed), static_cast<unsigned long long>(o.length));
  if (o.json) std::printf("{\"failed\": %s, \"seen\": %s, \"seed\": %llu}\n", quoted(f.checker).c_str(), quoted(f.seen).c_str(),
                          static_cast<unsigned long long>(seed));
  return 1;
}

// What a broken assertion of the core prints after its own sentence.
uint64_t running_seed = 0, running_length = 0;
void on_abort(int) {
  std::fprintf(stderr, "FAILED at some time: invariants\n  promise: no assertion of the core is ever broken\n"
               "  again:   ./simulate model --seed %llu --length %llu --keep --trace\n",
               static_cast<unsigned long long>(running_seed), static_cast<unsigned long long>(running_length));
  std::fflush(nullptr);
  std::_Exit(1);
}

}  // namespace

int simulate_model(const std::vector<std::string>& words) {
  const auto options = read_options(words);
  if (!options.ok()) {
    std::fprintf(stderr, "simulate: %s\n%s", options.error().message.c_str(), kUsage);
    return 2;
  }
  const Options& o = *options;
  std::signal(SIGABRT, on_abort);
  const auto began = std::chrono::steady_clock::now();
  TrialResult sum;
  uint64_t runs = 0;
  for (; runs < o.runs; runs++) {
    if (runs > 0 && std::chrono::steady_clock::now() - began >= std::chrono::seconds(std::min<uint64_t>(o.seconds, 1'000'000))) break;
    running_seed = o.seed + runs, running_length = o.length;
    const auto operations = operations_of(running_seed, o.length);
    const TrialResult r = Trial(running_seed).run(operations);
    if (r.failure) return report_failure(running_seed, o, operations, r);
    sum.done += r.done, sum.packets += r.packets, sum.answered += r.answered, sum.promised += r.promised;
    sum.lasted += r.lasted, sum.hash ^= r.hash;
  }
  if (o.trace && runs > 0) tell(running_seed, operations_of(running_seed, o.length), true, o.json ? stderr : stdout);
  std::printf(o.json ? "{\"failed\": null, \"runs\": %llu, \"operations\": %zu, \"virtual_s\": %lld, \"packets\": %zu, \"answered\": %zu, \"hash\": \"%016llx\"}\n"
                     : "model and nodes agreed in %llu runs: %zu operations in %lld s, %zu packets of programs, %zu answers, hash %016llx\n",
              static_cast<unsigned long long>(runs), sum.done, static_cast<long long>(sum.lasted / 1s), sum.packets, sum.answered,
              static_cast<unsigned long long>(sum.hash));
  return 0;
}

}  // namespace macrovpn::sim
