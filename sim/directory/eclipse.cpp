#include "sim/directory/eclipse.h"

#include <algorithm>

namespace macrovpn::sim {
namespace {

using namespace discovery;

constexpr size_t kTiny = 20;
constexpr uint32_t kTheirNetworks = 0x0b000001;  // 11.0.0.0/8; the honest ones are in 10.0.0.0/8
constexpr unsigned kTriesForRank = 30;

class Eclipse {
 public:
  Eclipse(size_t relays, uint64_t seed) : world_({relays, seed, 1}), rng_(Streams(seed).of("eclipse")) {
    for (NodeNumber n = 0; n < relays; n++) honest_.insert(world_.id_of(n));
    world_.run_for(2s);
  }

  void add_to(EclipseOutcome& out, size_t place_of_the_honest, bool knew) {
    const NodeNumber honest = static_cast<NodeNumber>(rng_.below(world_.relays()));
    const NodeNumber c = world_.add_client();
    if (knew) {
      sync(c, {honest, (honest + 1) % relays(), (honest + 2) % relays()});
      static_cast<void>(world_.client(c).take_verdict());
    }
    const NodeNumber evil = deceiver(out.deceit), other = deceiver(out.deceit);
    std::vector<NodeNumber> sources{evil, other};
    sources.insert(sources.begin() + static_cast<std::ptrdiff_t>(place_of_the_honest), honest);
    sync(c, sources);
    judge(c, out);
  }

 private:
  NodeNumber relays() const { return static_cast<NodeNumber>(world_.relays()); }
  void sync(NodeNumber c, const std::vector<NodeNumber>& sources) {
    world_.sync(c, sources);
    static_cast<void>(world_.run_until(std::chrono::minutes(10), 100ms, [&] { return !world_.client(c).is_syncing(); }));
  }

  NodeNumber deceiver(Deceit d) {
    if (d == Deceit::silent) return world_.add_source(RelaySet(world_.network()), Manner::silent);
    if (d == Deceit::yes) return world_.add_source(RelaySet(world_.network()), Manner::says_equal);
    return world_.add_source(set_of(d), Manner::honest);
  }
  // The same for both of them.
  const RelaySet& set_of(Deceit d) {
    const auto known = sets_.find(d);
    if (known != sets_.end()) return known->second;
    RelaySet& set = sets_.emplace(d, RelaySet(world_.network())).first->second;
    const size_t n = world_.relays();
    const auto of_them = [&](size_t count, uint32_t apart) {
      for (uint32_t i = 0; i < count; i++) add(set, forged(IpAddress::v4(kTheirNetworks + i * apart)));
    };
    if (d == Deceit::tiny) of_them(kTiny, 1 << 12);
    if (d == Deceit::tiny_spread) of_them(kTiny, 1 << 16);
    if (d == Deceit::as_many || d == Deceit::beside) of_them(n, 1 << 13);
    if (d == Deceit::mixed) of_them(n * 3 / 100, 1 << 13);
    if (d == Deceit::crowding) crowd(set);
    const size_t hidden = d == Deceit::hide_many ? n * 40 / 100 : d == Deceit::hide_few ? n * 5 / 100 : d == Deceit::mixed ? n * 3 / 100 : 0;
    const bool tells_of_the_honest = d == Deceit::beside || d == Deceit::hide_many || d == Deceit::hide_few || d == Deceit::mixed;
    for (size_t i = hidden; i < n && tells_of_the_honest; i++) add(set, world_.set_of(0).find(world_.id_of(static_cast<NodeNumber>(i))));
    for (NodeNumber i = 0; i < n && d == Deceit::stale; i++) add(set, world_.signed_by(i, world_.now().wall - std::chrono::hours(20)));
    return set;
  }
  EntryPtr forged(const IpAddress& home) { return world_.sign_stranger(home, world_.now().wall - std::chrono::hours(1)); }
  void crowd(RelaySet& set) {
    for (NodeNumber i = 0; i < world_.relays(); i++) {
      const EntryPtr victim = world_.set_of(0).find(world_.id_of(i));
      size_t better = 0;
      for (unsigned tries = 0; tries < kTriesForRank && better < 2; tries++) {
        const EntryPtr e = forged(victim->home);
        if (e->rank >= victim->rank) continue;
        add(set, e);
        better++;
      }
    }
  }
  static void add(RelaySet& set, const EntryPtr& e) {
    SetChanges changes;
    static_cast<void>(set.insert(e, changes));
  }

  void judge(NodeNumber c, EclipseOutcome& out) {
    out.tries++;
    const auto verdict = world_.client(c).take_verdict();
    size_t good = 0, bad = 0;
    for (const EntryPtr& e : world_.client(c).set().all()) {
      if (world_.client(c).may_choose(e->short_id)) (honest_.contains(e->short_id) ? good : bad)++;
    }
    const size_t missing = honest_.size() - good;
    if (verdict && verdict->refused()) {
      out.refused++;
      out.said = verdict->text();
      out.taken_in += bad > 0 || out.said.empty() || (out.knew && missing > 0);  // what is refused leaves no trace
      return;
    }
    const bool nobody = verdict && verdict->kind == SyncVerdict::Kind::nobody_answered;
    if (!verdict || nobody || missing * 10 > honest_.size() || bad * 10 > good + bad) {
      out.taken_in++;
      return;
    }
    out.honest++;
    out.most_false = std::max(out.most_false, bad);
    out.most_missing = std::max(out.most_missing, missing);
  }

  DirectoryWorld world_;
  SeededRng rng_;
  std::set<ShortId> honest_;
  std::map<Deceit, RelaySet> sets_;
};

}  // namespace

const char* to_string(Deceit d) {
  static constexpr std::array kNames{"know nobody",
                                     "never answer",
                                     "say \"equal\" to everything",
                                     "20 of their own in two /16",
                                     "20 of their own in 20 /16",
                                     "as many of their own",
                                     "the honest ones and as many of their own",
                                     "their own that crowd the honest ones out",
                                     "hide 40 % of the honest ones",
                                     "hide 5 % of them",
                                     "hide 3 % and add 3 %",
                                     "tell what was 20 hours ago"};
  static_assert(kNames.size() == kDeceits.size());
  return kNames[static_cast<size_t>(d)];
}

std::vector<EclipseOutcome> try_eclipses(const EclipseModel& m, const std::function<void(const char*)>& progress) {
  std::vector<EclipseOutcome> out;
  for (const Deceit d : kDeceits) {
    for (const bool knew : {false, true}) out.push_back({.deceit = d, .knew = knew});
  }
  for (uint64_t seed = m.seed; seed < m.seed + m.seeds; seed++) {
    Eclipse eclipse(m.relays, seed);
    for (EclipseOutcome& o : out) {
      progress(to_string(o.deceit));
      for (size_t place = 0; place < kSyncSources; place++) eclipse.add_to(o, place, o.knew);
    }
  }
  return out;
}

}  // namespace macrovpn::sim
