#include "sim/scenario/report.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdarg>

#include "sim/scenario/load_report.h"

namespace macrovpn::sim {
namespace {

std::string format(const char* f, ...) __attribute__((format(printf, 1, 2)));
std::string format(const char* f, ...) {
  char text[512];
  va_list args;
  va_start(args, f);
  std::vsnprintf(text, sizeof text, f, args);
  va_end(args);
  return text;
}

using ull = unsigned long long;

uint64_t total(const Simulation& run, uint64_t HostCounters::*what) {
  uint64_t n = 0;
  for (const auto& h : run.world().hosts()) n += h->kind == HostKind::client ? h->counters.*what : 0;
  return n;
}

// Of the whole program until now, as the kernel counts it.
uint64_t most_memory() {
  rusage used{};
  return getrusage(RUSAGE_SELF, &used) == 0 ? static_cast<uint64_t>(used.ru_maxrss) * 1024 : 0;
}

std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

}  // namespace

std::string text_report(const Simulation& run, uint64_t seed, Duration wall) {
  const World& w = run.world();
  const WorldCounters& c = w.counters();
  const Simulation::Least l = run.least();
  const double seconds = static_cast<double>(wall.count()) / 1e9, virtual_seconds = static_cast<double>(w.elapsed().count()) / 1e9;
  std::string s = format("%s  seed %llu  hash %016llx\n", run.scenario().file.c_str(), static_cast<ull>(seed),
                         static_cast<ull>(w.trace_hash()));
  s += format("  %zu nodes, %s of virtual time in %.1f s (%.1f times as fast), %llu events\n", run.nodes(),
              time_text(w.elapsed()).c_str(), seconds, virtual_seconds / std::max(seconds, 1e-9), static_cast<ull>(c.events));
  s += format("  %llu datagrams (%.0f a second of ours), %llu bytes; lost on links %llu, at NATs %llu, blocked %llu, to nobody %llu\n",
              static_cast<ull>(c.datagrams), static_cast<double>(c.datagrams) / std::max(seconds, 1e-9), static_cast<ull>(c.bytes),
              static_cast<ull>(c.lost_on_links), static_cast<ull>(c.at_nats), static_cast<ull>(c.blocked),
              static_cast<ull>(c.nowhere + c.to_the_dead));
  s += format("  circuits %llu, leases moved %llu, lost %llu; a client built %llu circuits and carried %llu bytes at least\n",
              static_cast<ull>(total(run, &HostCounters::circuits)), static_cast<ull>(total(run, &HostCounters::moved)),
              static_cast<ull>(total(run, &HostCounters::lost_leases)), static_cast<ull>(l.circuits), static_cast<ull>(l.bytes));
  s += load_text(run);
  s += format("  memory of a node %lld bytes on average, of the program %llu MB at most\n",
              static_cast<long long>(run.node_memory() / std::max<int64_t>(1, static_cast<int64_t>(run.nodes()))),
              static_cast<ull>(most_memory() / 1'000'000));
  if (!run.faults().empty()) {
    s += "  faults:";
    for (const auto& [f, n] : run.faults()) s += format(" %s %llu,", to_string(f), static_cast<ull>(n));
    s.back() = '\n';
  }
  if (run.collusion().looked_at() > 0) {
    s += format("  relays that hold together: of %llu looks at circuits they had both ends in %llu, one in %llu\n",
                static_cast<ull>(run.collusion().looked_at()), static_cast<ull>(run.collusion().both_ends()),
                static_cast<ull>(run.collusion().one_end()));
  }
  for (const auto& k : run.checkers()) s += format("  %-14s %s\n", k->name(), k->looked_at().c_str());
  if (!run.failure()) s += "  every promise held\n";
  return s;
}

std::string json_report(const Simulation& run, uint64_t seed, Duration wall) {
  const World& w = run.world();
  const WorldCounters& c = w.counters();
  const Simulation::Least l = run.least();
  std::string s = format("{\"scenario\": %s, \"seed\": %llu, \"hash\": \"%016llx\", ", quoted(run.scenario().file).c_str(),
                         static_cast<ull>(seed), static_cast<ull>(w.trace_hash()));
  s += format("\"nodes\": %zu, \"events\": %llu, \"datagrams\": %llu, \"bytes\": %llu, \"virtual_ms\": %lld, \"wall_ms\": %lld, ",
              run.nodes(), static_cast<ull>(c.events), static_cast<ull>(c.datagrams), static_cast<ull>(c.bytes),
              static_cast<long long>(w.elapsed() / 1ms), static_cast<long long>(wall / 1ms));
  s += format("\"lost_on_links\": %llu, \"at_nats\": %llu, \"circuits\": %llu, \"leases_moved\": %llu, \"leases_lost\": %llu, ",
              static_cast<ull>(c.lost_on_links), static_cast<ull>(c.at_nats), static_cast<ull>(total(run, &HostCounters::circuits)),
              static_cast<ull>(total(run, &HostCounters::moved)), static_cast<ull>(total(run, &HostCounters::lost_leases)));
  s += format("\"least_circuits\": %llu, \"least_bytes\": %llu, \"node_memory\": %lld, \"most_memory\": %llu, ",
              static_cast<ull>(l.circuits), static_cast<ull>(l.bytes), static_cast<long long>(run.node_memory()), static_cast<ull>(most_memory()));
  s += "\"load\": {" + load_json(run) + "}, \"faults\": {";
  std::string faults;
  for (const auto& [f, n] : run.faults()) faults += format("%s\"%s\": %llu", faults.empty() ? "" : ", ", to_string(f), static_cast<ull>(n));
  s += faults + "}, \"checkers\": {";
  std::string checkers;
  for (const auto& k : run.checkers()) checkers += (checkers.empty() ? "" : ", ") + quoted(k->name()) + ": " + quoted(k->looked_at());
  s += checkers + "}, \"failed\": " + (run.failure() ? quoted(run.failure()->checker) : "null");
  if (run.failure()) s += ", \"seen\": " + quoted(run.failure()->seen);
  return s + "}\n";
}

}  // namespace macrovpn::sim
