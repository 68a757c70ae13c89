#include "sim/studies/circuits.h"

#include "sim/studies/asker.h"
#include "sim/studies/lab.h"

namespace macrovpn::sim {
namespace {

constexpr Duration kAskAgain = 1s, kPatience = 60s;
constexpr int64_t kMicrosecond = 1000;
constexpr Duration kDrawn = 2s;  // and ten links; what takes longer is in the table

struct Kind {
  node::Build build;
  const char* name;
  int ready, answer;  // round trips of a link, without loss
};
constexpr std::array<Kind, 2> kKinds{{{node::Build::one_round_trip, "one round trip", 3, 6}, {node::Build::hop_by_hop, "telescoping", 6, 9}}};

struct Times {
  std::vector<Duration> ready, answered;
};

// When its circuit was ready first.
class ReadyWatch final : public Watcher {
 public:
  void node_event(World& w, const Host& h, const node::NodeEvent& e) override {
    const auto* ready = std::get_if<node::CircuitReady>(&e);
    if (ready != nullptr && h.id == client && at == kNever && !ready->group.is_nobody()) at = w.now().mono;
  }
  HostId client{UINT32_MAX};
  Mono at = kNever;
};

Times build_many(const CircuitsConfig& config, Duration link, Ppm loss, const Kind& kind, Study& study) {
  Lab lab({.seed = config.seed, .link = link, .loss = loss}, std::make_unique<Answerer>());
  ReadyWatch watch;
  World& w = lab.world();
  w.watch(watch);
  SeededRng pauses = w.streams().of("pauses");
  Times out;
  for (size_t i = 0; i < config.builds; i++) {
    w.run_for(pauses.between(100ms, 500ms));
    auto program = std::make_unique<Asker>(Lab::inside(), lab.site(), kAskAgain);
    Asker& asker = *program;
    node::ClientConfig client;
    client.build = kind.build;
    const Mono wished = w.now().mono;
    watch.client = {static_cast<uint32_t>(w.hosts().size())};
    watch.at = kNever;
    const HostId id = lab.add_client(client, std::move(program));
    while (asker.answered() == kNever && w.now().mono < wished + kPatience) w.run_for(link);
    out.ready.push_back(watch.at == kNever ? kPatience : watch.at - wished);
    out.answered.push_back(asker.answered() == kNever ? kPatience : asker.answered() - wished);
    w.crash(id);
    asker.rest();
  }
  study.count(w.trace_hash(), w.counters().events);
  return out;
}

plot::Series series_of(const std::string& name, const std::vector<Duration>& times) {
  plot::Series s{name, {}};
  for (const Duration d : times) s.points.push_back({d.count() / kMicrosecond, 0});
  return s;
}

}  // namespace

Study study_circuits(const CircuitsConfig& config, Progress& progress) {
  Study study{.name = "circuits"};
  Table table{"From the wish for a circuit of three hops to its first answer, ms; " + std::to_string(config.builds) + " cold builds each",
              {"link", "lost", "way", "bound", "ready 50%", "answer 50%", "90%", "99%", "most"}, {}};
  size_t done = 0;
  const size_t all = config.links.size() * config.losses.size() * kKinds.size();
  for (const Duration link : config.links) {
    const std::string ms = std::to_string(link / 1ms);
    plot::Chart chart{.title = "First answer through a new circuit: three links of " + ms + " ms (round trip each)",
                      .kind = plot::Kind::cumulative,
                      .x = {.name = "ms since the circuit was wished for; dotted: 6 and 9 round trips of a link", .unit = kMicrosecond, .from = 0, .to = (kDrawn + 10 * link).count() / kMicrosecond}};
    for (const Kind& kind : kKinds) {
      chart.marks.push_back({plot::Mark::Across::x, std::to_string(kind.answer), kind.answer * link.count() / kMicrosecond});
      for (const Ppm loss : config.losses) {
        progress.at(ms + " ms, " + kind.name + ", " + percent_text(loss) + " lost", done++, all);
        const Times t = build_many(config, link, loss, kind, study);
        chart.series.push_back(series_of(std::string(kind.name) + (loss == 0 ? "" : ", " + percent_text(loss) + " lost"), t.answered));
        table.rows.push_back({ms + " ms", percent_text(loss), kind.name, milliseconds(link * kind.answer), milliseconds(quantile(t.ready, 500)),
                              milliseconds(quantile(t.answered, 500)), milliseconds(quantile(t.answered, 900)),
                              milliseconds(quantile(t.answered, 990)), milliseconds(quantile(t.answered, 1000))});
      }
    }
    study.pictures.push_back({"circuits-" + ms + "ms.svg", plot::to_svg(chart)});
  }
  study.tables.push_back(std::move(table));
  return study;
}

}  // namespace macrovpn::sim
