#include "sim/studies/recovery.h"

#include "sim/studies/asker.h"
#include "sim/studies/lab.h"

namespace macrovpn::sim {
namespace {

constexpr Duration kEvery = 20ms, kPatience = 120s;
constexpr int kHops = 4;  // that the client has made before: enough to know how long a circuit takes

struct Kind {
  const char* name;
  node::Build build;
  size_t spares;
  bool drawn;
};
constexpr std::array<Kind, 3> kKinds{{{"as shipped", node::Build::one_round_trip, 1, true},
                                      {"without spare", node::Build::one_round_trip, 0, false},
                                      {"telescoping", node::Build::hop_by_hop, 0, true}}};
constexpr std::array<Position, 3> kPositions{Position::guard, Position::middle, Position::exit};

class Deaths {
 public:
  Deaths(const RecoveryConfig& config, Duration link, const Kind& kind)
      : link_(link), kind_(kind), lab_({.seed = config.seed, .link = link}, std::make_unique<Answerer>()), phases_(lab_.world().streams().of("phases")) {}

  Duration one(Position position) {
    World& w = lab_.world();
    auto program = std::make_unique<Asker>(Lab::inside(), lab_.site(), kEvery);
    Asker& asker = *program;
    node::ClientConfig settings;
    settings.build = kind_.build;
    settings.spare_circuits = kind_.spares;
    const HostId client = lab_.add_client(settings, std::move(program));
    for (int i = 0; i < kHops; i++) {
      w.run_for(500ms + 12 * link_);
      w.hop(client);
    }
    w.run_for(5s + phases_.between(0ms, 1s));
    std::optional<HostId> relay;
    while (!(relay = lab_.relay_of(client, position))) w.run_for(100ms);
    const Mono died = w.now().mono;
    asker.mark(died);
    w.crash(*relay);
    while (asker.answered() == kNever && w.now().mono < died + kPatience) w.run_for(100ms);
    w.crash(client);
    asker.rest();
    w.restart(*relay);
    w.run_for(3s);  // its new key is known
    return asker.answered() == kNever ? kPatience : asker.answered() - died;
  }
  World& world() { return lab_.world(); }

 private:
  Duration link_;
  const Kind& kind_;
  Lab lab_;
  SeededRng phases_;
};

}  // namespace

Study study_recovery(const RecoveryConfig& config, Progress& progress) {
  Study study{.name = "recovery"};
  Table table{"From a relay's death to the next answer, ms; " + std::to_string(config.deaths) + " deaths each",
              {"link", "who dies", "circuits", "least", "50%", "90%", "most"}, {}};
  size_t done = 0;
  const size_t all = config.links.size() * kKinds.size() * kPositions.size();
  for (const Duration link : config.links) {
    const std::string ms = std::to_string(link / 1ms);
    plot::Chart chart{.title = "Silence after the death of a relay: three links of " + ms + " ms (round trip each)",
                      .kind = plot::Kind::cumulative,
                      .x = {.name = "s from the death to the next answer", .unit = 1000, .from = 0}};
    for (const Kind& kind : kKinds) {
      Deaths deaths(config, link, kind);
      for (const Position position : kPositions) {
        progress.at(ms + " ms, " + kind.name + ", " + to_string(position), done++, all);
        std::vector<Duration> times;
        for (size_t i = 0; i < config.deaths; i++) times.push_back(deaths.one(position));
        if (kind.drawn) {
          plot::Series s{std::string(to_string(position)) + ", " + kind.name, {}, kind.build == node::Build::hop_by_hop};
          for (const Duration d : times) s.points.push_back({d / 1ms, 0});
          chart.series.push_back(std::move(s));
        }
        table.rows.push_back({ms + " ms", to_string(position), kind.name, milliseconds(quantile(times, 0)), milliseconds(quantile(times, 500)),
                              milliseconds(quantile(times, 900)), milliseconds(quantile(times, 1000))});
      }
      study.count(deaths.world().trace_hash(), deaths.world().counters().events);
    }
    study.pictures.push_back({"recovery-" + ms + "ms.svg", plot::to_svg(chart)});
  }
  study.tables.push_back(std::move(table));
  return study;
}

}  // namespace macrovpn::sim
