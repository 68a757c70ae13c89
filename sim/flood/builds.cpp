#include "sim/flood/builds.h"

#include "core/discovery/liveness_map.h"
#include "core/routing/address_rewrite.h"
#include "core/routing/path.h"
#include "sim/net/topology.h"
#include "sim/studies/asker.h"
#include "sim/world/world.h"

namespace macrovpn::sim {
namespace {

constexpr Duration kApart = 25ms, kAskAgain = 500ms, kStep = 50ms;
constexpr uint32_t kFirstClient = 0xf4000001;  // 244.0.0.1; each in a /16 of its own

// What it sends as an answer to a handshake passes, and nothing else.  Transport messages have sizes of 0 mod 16.
class HandshakesOnly final : public Mischief {
 public:
  const char* name() const override { return "answers handshakes and carries nothing"; }
  Verdict leaves(World&, Host&, node::Datagram& d) override {
    return {d.socket == kListenSocket && d.packet.size() % 16 != 0};
  }
};

// What a client believes of who is dead, after some comparisons with sources that were drawn as paths are.  False ones that answer say that
// theirs are alive and the honest dead; an honest relay knows kKnown of a hundred that are dead (it probes by drawing).  The shipped LivenessMemory judges.
class Hearsay {
 public:
  // kinds: of each admitted relay.
  Hearsay(const Population& p, const std::vector<char>& kinds, uint64_t seed) : population_(p), kinds_(kinds), rng_(Streams(seed).of("hearsay")) {
    for (const FloodedRelay& r : p.admitted) all_.push_back(&r.info);
  }
  // Places in the population.
  std::vector<size_t> after(size_t comparisons) {
    discovery::LivenessMemory memory;
    const routing::WeightedDraw draw(all_, population_.network, population_.today);
    for (size_t i = 0; i < comparisons; i++) memory.add(compare(draw), population_.today);
    std::vector<size_t> dead;
    for (const discovery::ShortId id : memory.dead()) dead.push_back(id.value);
    return dead;
  }

 private:
  static constexpr uint64_t kKnown = 90;
  static bool is_silent(char kind) { return kind == 'a' || kind == 'd'; }
  discovery::LivenessRound compare(const routing::WeightedDraw& draw) {
    discovery::LivenessRound round;
    for (size_t n = 0; n < all_.size(); n++) round.push_back({{n}, {}});  // places stand for ids
    for (size_t source = 0; source < discovery::kMapSources; source++) {
      const RelayInfo* by = draw.draw(rng_);
      const auto at = static_cast<size_t>(std::find(all_.begin(), all_.end(), by) - all_.begin());
      if (is_silent(kinds_[at])) continue;  // no answer: one fewer
      for (size_t n = 0; n < all_.size(); n++) {
        const bool lies = kinds_[at] == 'l';
        const bool dead = lies ? kinds_[n] == 'h' : is_silent(kinds_[n]) && rng_.below(100) < kKnown;
        round[n].second.said++;
        round[n].second.dead = static_cast<uint8_t>(round[n].second.dead + dead);
      }
    }
    return round;
  }
  const Population& population_;
  const std::vector<char>& kinds_;  // of each: honest, absent, dropping, logging
  std::vector<const RelayInfo*> all_;
  SeededRng rng_;
};

// Circuits that clients begin, and that come up.
class Circuits final : public Watcher {
 public:
  void node_event(World&, const Host& h, const node::NodeEvent& e) override {
    if (h.kind == HostKind::client) ready += std::holds_alternative<node::CircuitReady>(e);
  }
  void touched(World&, const Host& h) override {
    if (h.kind != HostKind::client || !h.node) return;
    const auto& circuits = h.node->client()->circuits();
    uint64_t& known = newest_[h.id];
    if (circuits.empty() || circuits.rbegin()->first.value <= known) return;
    begun += circuits.rbegin()->first.value - known;
    known = circuits.rbegin()->first.value;
  }
  void starts_again(HostId id) { newest_[id] = 0; }
  // Builds that its end cuts off have neither failed nor succeeded.
  void ends(const Host& h) {
    if (!h.node) return;
    const auto is_building = [](const auto& c) {
      return c.second.state == node::Circuit::State::building || c.second.state == node::Circuit::State::waiting_for_guard;
    };
    const auto& circuits = h.node->client()->circuits();
    begun -= static_cast<uint64_t>(std::count_if(circuits.begin(), circuits.end(), is_building));
  }
  uint64_t begun = 0, ready = 0;

 private:
  std::map<HostId, uint64_t> newest_;
};

class Trial {
 public:
  Trial(const BuildsModel& m, Progress& progress) : model_(m), progress_(progress), population_(flood(m.flood)), world_(config()) {
    world_.watch(circuits_);
    add_site();
    add_relays();
    world_.start();
    for (const HostId id : absent_) world_.crash(id);
    world_.run_for(2s);
  }

  BuildsReport run() {
    for (size_t i = 0; i < model_.clients; i++) add_client(i);
    // They begin as newcomers with the first wish, having heard what they have.
    for (const HostId id : clients_) {
      world_.crash(id);
      Disk& disk = world_.host(id).disk;
      disk.guards.clear(), disk.middles.clear(), disk.observations.clear();
    }
    circuits_.begun = circuits_.ready = 0;
    BuildsReport out{.honest = population_.honest, .false_ones = population_.false_ones};
    for (size_t round = 0; round < model_.wishes; round++) {
      progress_.at("wishes", round, model_.wishes);
      wish(round, out);
    }
    out.attempts = circuits_.begun;
    out.ready = circuits_.ready;
    out.hash = world_.trace_hash();
    return out;
  }

 private:
  WorldConfig config() const {
    WorldConfig c{.seed = model_.flood.seed, .network = population_.network, .flat = kApart, .beyond = Duration(0), .news = 1s};
    const auto& global = Topology::extra_global();
    c.network.extra_global.insert(c.network.extra_global.end(), global.begin(), global.end());
    return c;
  }
  void add_site() {
    HostSpec site{.kind = HostKind::server, .name = "site", .address = site_};
    world_.add_program(world_.add_host(site), std::make_unique<Answerer>());
  }
  void add_relays() {
    size_t false_ones = 0;
    for (const FloodedRelay& r : population_.admitted) {
      const bool exit = r.info.flags.has(RelayFlag::exit);
      HostSpec spec{.kind = exit ? HostKind::exit : HostKind::relay, .name = "relay", .address = r.info.endpoints[0].address};
      spec.as_number = r.info.as_number;
      spec.bandwidth = r.info.bandwidth;
      const HostId id = world_.add_host(spec);
      relays_.push_back(id);
      if (!r.is_false) kinds_.push_back('h');
      if (!r.is_false) continue;
      const size_t kind = false_ones++ % 3;
      kinds_.push_back("adl"[kind]);
      if (kind == 0) absent_.push_back(id);
      if (kind == 1) world_.set_mischief(id, std::make_unique<HandshakesOnly>());
    }
  }
  void add_client(size_t n) {
    HostSpec spec{.kind = HostKind::client, .name = "client", .address = IpAddress::v4(kFirstClient + static_cast<uint32_t>(n << 16))};
    spec.client = node::ClientConfig{};
    const HostId id = world_.add_host(spec);
    auto program = std::make_unique<Asker>(routing::InsideAddresses::get().client4, site_, kAskAgain);
    askers_.push_back(program.get());
    clients_.push_back(id);
    world_.add_program(id, std::move(program));
  }
  // What each client heard before it starts.
  void hear(size_t round) {
    Hearsay hearsay(population_, kinds_, model_.flood.seed + round);
    for (const HostId id : clients_) {
      std::vector<PeerId>& dead = world_.host(id).disk.dead;
      dead.clear();
      for (const size_t n : hearsay.after(model_.comparisons)) dead.push_back(world_.host(relays_[n]).info.id);
      std::sort(dead.begin(), dead.end());
    }
  }
  // All at once: who has its answer goes to rest.
  void wish(size_t round, BuildsReport& out) {
    const Mono began = world_.now().mono;
    hear(round);
    for (size_t i = 0; i < clients_.size(); i++) {
      askers_[i]->mark(began);
      circuits_.starts_again(clients_[i]);
      world_.restart(clients_[i]);
    }
    std::vector<bool> has(clients_.size());
    out.wishes += clients_.size();
    while (world_.now().mono < began + kPatience) {
      world_.run_for(kStep);
      for (size_t i = 0; i < clients_.size(); i++) {
        if (has[i] || askers_[i]->answered() == kNever) continue;
        has[i] = true;
        out.fulfilled++;
        out.took.push_back(askers_[i]->answered() - began);
        stop(clients_[i]);
      }
      if (std::find(has.begin(), has.end(), false) == has.end()) break;
    }
    for (const HostId id : clients_) stop(id);
    world_.run_for(1s);
  }
  void stop(HostId id) {
    circuits_.ends(world_.host(id));
    world_.stop(id);
  }

  BuildsModel model_;
  Progress& progress_;
  Population population_;
  World world_;
  Circuits circuits_;
  const IpAddress site_ = IpAddress::v4(0xc6120001);  // 198.18.0.1
  std::vector<char> kinds_;
  std::vector<HostId> relays_, absent_, clients_;
  std::vector<Asker*> askers_;
};

}  // namespace

BuildsReport try_builds(const BuildsModel& m, Progress& progress) { return Trial(m, progress).run(); }

}  // namespace macrovpn::sim
