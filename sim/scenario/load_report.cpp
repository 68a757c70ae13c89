#include "sim/scenario/load_report.h"

#include <cstdarg>

#include "sim/load/call_quality.h"

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

constexpr Work kBusy[] = {Work::browse, Work::download, Work::upload, Work::call};

unsigned milliseconds(Duration d) { return static_cast<unsigned>(d / 1ms); }

uint64_t missing(const LoadReport& call) {
  return call.packets_sent - std::min(call.packets_sent, call.packets_received) + call.packets_late;
}

// With the listener's buffer: what came before it ran dry.
uint32_t opinion(const LoadReport& call) { return mean_opinion(call.latency.at(500) + kPlayout, missing(call), call.packets_sent); }

// Of transfers that were done, while they ran.
uint64_t kilobits_per_second(const Simulation& run, Work work, const LoadReport& r) {
  const auto ms = static_cast<uint64_t>(r.latency.mean() / 1us) * r.latency.count() / 1000;
  return ms == 0 ? 0 : run.transferred(work) * 8 / ms;
}

}  // namespace

std::string load_text(const Simulation& run) {
  std::string s;
  for (const Work work : kBusy) {
    const LoadReport r = run.load_of(work);
    if (r.done + r.failed + r.packets_sent + r.bytes_down + r.bytes_up == 0) continue;
    const Histogram& h = r.latency;
    if (work == Work::call) {
      s += format("  calls %llu, %llu failed; packets %llu, lost %llu, late %llu; one way in ms: half within %u, 99 of 100 within %u; "
                  "silent for %u ms at most; opinion %u.%02u of 5\n",
                  static_cast<ull>(r.done), static_cast<ull>(r.failed), static_cast<ull>(r.packets_sent),
                  static_cast<ull>(missing(r) - r.packets_late), static_cast<ull>(r.packets_late), milliseconds(h.at(500)), milliseconds(h.at(990)),
                  milliseconds(r.longest_stall), opinion(r) / 100, opinion(r) % 100);
      continue;
    }
    s += format("  %s %llu, %llu failed; in ms: half within %u, nine of ten within %u, 99 of 100 within %u",
                work == Work::browse ? "pages" : work == Work::download ? "downloads" : "uploads", static_cast<ull>(r.done),
                static_cast<ull>(r.failed), milliseconds(h.at(500)), milliseconds(h.at(900)), milliseconds(h.at(990)));
    if (r.first_byte.count() > 0) s += format("; first byte half within %u", milliseconds(r.first_byte.at(500)));
    if (work != Work::browse) s += format("; %llu kbit/s on average", static_cast<ull>(kilobits_per_second(run, work, r)));
    s += format("; stalls %llu, the longest %u ms\n", static_cast<ull>(r.stalls), milliseconds(r.longest_stall));
  }
  return s;
}

std::string load_json(const Simulation& run) {
  std::string s;
  for (const Work work : kBusy) {
    const LoadReport r = run.load_of(work);
    if (r.done + r.failed + r.packets_sent + r.bytes_down + r.bytes_up == 0) continue;
    const Histogram& h = r.latency;
    s += format("%s\"%s\": {\"done\": %llu, \"failed\": %llu, \"bytes_down\": %llu, \"bytes_up\": %llu, \"half_ms\": %u, \"nine_of_ten_ms\": %u, "
                "\"99_of_100_ms\": %u, \"stalls\": %llu, \"longest_stall_ms\": %u",
                s.empty() ? "" : ", ", to_string(work), static_cast<ull>(r.done), static_cast<ull>(r.failed), static_cast<ull>(r.bytes_down),
                static_cast<ull>(r.bytes_up), milliseconds(h.at(500)), milliseconds(h.at(900)), milliseconds(h.at(990)),
                static_cast<ull>(r.stalls), milliseconds(r.longest_stall));
    if (work == Work::call) {
      s += format(", \"packets\": %llu, \"lost\": %llu, \"late\": %llu, \"opinion_hundredths\": %u", static_cast<ull>(r.packets_sent),
                  static_cast<ull>(missing(r) - r.packets_late), static_cast<ull>(r.packets_late), opinion(r));
    } else {
      s += format(", \"first_byte_half_ms\": %u", milliseconds(r.first_byte.at(500)));
      if (work != Work::browse) s += format(", \"kbit_per_second\": %llu", static_cast<ull>(kilobits_per_second(run, work, r)));
    }
    s += "}";
  }
  return s;
}

}  // namespace macrovpn::sim
