// Which transfers, and how they are told.
#include <algorithm>
#include <map>

#include "sim/studies/throughput.h"

namespace macrovpn::sim {
namespace {

constexpr size_t kLinks = 3;
constexpr uint64_t kCells = 1000, kCell = 498;  // of a circuit of Tor's, before its congestion control: https://spec.torproject.org/tor-spec/

std::string megabits_text(uint64_t bits) {
  return std::to_string(bits / 1'000'000) + "." + std::to_string(bits / 100'000 % 10);
}

std::string of_bound(uint64_t bits, uint64_t bound) {
  return std::to_string((bits * 200 + bound) / (bound * 2)) + " %";
}

const char* name_of(CongestionControl c) {
  return c == CongestionControl::cubic ? "CUBIC" : "NewReno";
}

struct Run {
  Transfer transfer;
  Carried circuit, wire, one_link;
};

// Each point is the mean of a second, so that a window's bursts do not hide its course.
plot::Series rate_of(const std::string& name, const Carried& c) {
  constexpr size_t kMean = 4;
  plot::Series s{name, {{0, 0}}};
  for (size_t i = 0; i + kMean <= c.bytes.size(); i += kMean) {
    uint64_t sum = 0;
    for (size_t k = 0; k < kMean; k++) sum += c.bytes[i + k];
    s.points.push_back({static_cast<int64_t>((i + kMean) * static_cast<size_t>(Carried::kStep / 1ms)),
                        static_cast<int64_t>(sum * 8 * 1000 / (kMean * static_cast<uint64_t>(Carried::kStep / 1ms)))});
  }
  return s;
}

plot::Mark bound_mark(const Transfer& t) {
  return {plot::Mark::Across::y, "what the line leaves", static_cast<int64_t>(bound_of(t).bytes_per_second * 8)};
}

plot::Mark cells_mark(Duration link) {
  const auto round_trip = static_cast<uint64_t>(3 * link / 1ms);
  return {plot::Mark::Across::y, "a window of 1000 cells, " + std::to_string(link / 1ms) + " ms", static_cast<int64_t>(kCells * kCell * 8 * 1000 / round_trip)};
}

plot::Chart rate_chart(const std::string& title) {
  return {.title = title, .x = {.name = "s", .unit = 1000, .from = 0}, .y = {.name = "Mbit/s for the program", .unit = 1'000'000, .from = 0}};
}

bool is_main(const Transfer& t) {
  return t.link == 50ms && t.rate == megabits(100);
}

plot::Chart over_time(const std::vector<Run>& runs) {
  plot::Chart c = rate_chart("One TCP through three links of 50 ms (round trip each), a line of 100 Mbit/s");
  for (const Run& r : runs) {
    if (!is_main(r.transfer) || r.transfer.loss != 0) continue;
    c.series.push_back(rate_of(std::string(name_of(r.transfer.control)) + ", circuit", r.circuit));
    c.series.push_back(rate_of(std::string(name_of(r.transfer.control)) + ", one wire", r.wire));
    c.series.back().dashed = true;
    c.marks = {bound_mark(r.transfer), cells_mark(r.transfer.link)};
  }
  return c;
}

plot::Chart by_world(const std::vector<Run>& runs) {
  plot::Chart c = rate_chart("CUBIC through three links, by the round trip of each; a line of 100 Mbit/s");
  for (const Run& r : runs) {
    const Transfer& t = r.transfer;
    if (t.rate != megabits(100) || t.loss != 0 || t.control != CongestionControl::cubic || t.link == 50ms) continue;
    c.series.push_back(rate_of(std::to_string(t.link / 1ms) + " ms", r.circuit));
    if (c.marks.empty()) c.marks.push_back(bound_mark(t));
    if (t.link > 20ms) c.marks.push_back(cells_mark(t.link));
  }
  return c;
}

plot::Chart by_loss(const std::vector<Run>& runs) {
  plot::Chart c{.title = "Share of what the line leaves, by loss on each of three links of 50 ms; 100 Mbit/s",
                .kind = plot::Kind::bars,
                .x = {.name = "lost on each link, each way"},
                .y = {.name = "% of what the line leaves", .unit = 10, .from = 0, .to = 1000}};
  std::map<Ppm, int64_t> places;
  for (const Run& r : runs)
    if (is_main(r.transfer)) places[r.transfer.loss] = 0;
  for (auto& [loss, place] : places) {
    place = static_cast<int64_t>(c.labels.size());
    c.labels.push_back(percent_text(loss));
  }
  const std::pair<const char*, const Carried Run::*> ways[] = {{", circuit", &Run::circuit}, {", one wire", &Run::wire}, {", one link", &Run::one_link}};
  for (const CongestionControl control : {CongestionControl::cubic, CongestionControl::reno})
    for (const auto& [name, way] : ways) {
      plot::Series s{name_of(control) + std::string(name), {}};
      for (const Run& r : runs) {
        if (!is_main(r.transfer) || r.transfer.control != control) continue;
        const uint64_t bits = (r.*way).bits_per_second(r.transfer.omitted);
        s.points.push_back({places[r.transfer.loss], static_cast<int64_t>(bits * 1000 / (bound_of(r.transfer).bytes_per_second * 8))});
      }
      c.series.push_back(std::move(s));
    }
  return c;
}

Table table_of(const std::vector<Run>& runs) {
  Table t{"One TCP download through three links, Mbit/s for the program after the first seconds",
          {"link", "line", "lost", "control", "bound", "circuit", "of bound", "one wire", "circuit/wire", "one link", "full queue", "moved"}, {}};
  for (const Run& r : runs) {
    const Transfer& a = r.transfer;
    const uint64_t bound = bound_of(a).bytes_per_second * 8, circuit = r.circuit.bits_per_second(a.omitted), wire = r.wire.bits_per_second(a.omitted);
    t.rows.push_back({std::to_string(a.link / 1ms) + " ms", std::to_string(a.rate.bytes_per_second / 125'000) + " Mbit/s", percent_text(a.loss),
                      name_of(a.control), megabits_text(bound), megabits_text(circuit), of_bound(circuit, bound), megabits_text(wire),
                      of_bound(circuit, std::max<uint64_t>(wire, 1)), megabits_text(r.one_link.bits_per_second(a.omitted)), r.circuit.at_queue, r.circuit.moved});
  }
  return t;
}

}  // namespace

std::vector<Transfer> ThroughputConfig::usual() {
  std::vector<Transfer> all;
  const CongestionControl controls[] = {CongestionControl::cubic, CongestionControl::reno};
  // Where losses are few and far between, a minute has too few of them.
  for (const Ppm loss : {0u, 100u, 1000u, 10'000u})
    for (const CongestionControl control : controls)
      all.push_back({.link = 50ms, .rate = megabits(100), .loss = loss, .control = control, .lasts = loss == 0 ? 60s : 320s});
  for (const Duration link : {20ms, 80ms, 200ms})
    for (const CongestionControl control : controls) all.push_back({.link = link, .rate = megabits(100), .control = control});
  all.push_back({.link = 50ms, .rate = megabits(10), .lasts = 320s});  // through rekeys of every hop
  all.push_back({.link = 50ms, .rate = megabits(1000), .omitted = 15s, .lasts = 25s});
  return all;
}

Study study_throughput(const ThroughputConfig& config, Progress& progress) {
  Study study{.name = "throughput"};
  std::vector<Run> runs;
  for (const Transfer& t : config.transfers) {
    progress.at(std::to_string(t.link / 1ms) + " ms, " + std::to_string(t.rate.bytes_per_second / 125'000) + " Mbit/s, " + percent_text(t.loss) + " lost, " +
                    name_of(t.control), runs.size(), config.transfers.size());
    runs.push_back({t, through_a_circuit(t, config.seed, study), over_one_wire(t, kLinks, config.seed), over_one_wire(t, 1, config.seed)});
  }
  study.tables.push_back(table_of(runs));
  study.pictures = {{"throughput-50ms.svg", plot::to_svg(over_time(runs))},
                    {"throughput-worlds.svg", plot::to_svg(by_world(runs))},
                    {"throughput-loss.svg", plot::to_svg(by_loss(runs))}};
  return study;
}

}  // namespace macrovpn::sim
