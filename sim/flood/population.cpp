#include "sim/flood/population.h"

#include <algorithm>
#include <map>
#include <memory>

#include "core/discovery/relay_set.h"
#include "core/routing/weights.h"

namespace macrovpn::sim {
namespace {

constexpr int64_t kToday = 1'800'000'000;
constexpr uint32_t kFirstPrefix = 0xf000;        // 240.0.0.0/16
constexpr uint32_t kFirstFalsePrefix = 0xf800;
constexpr uint64_t kUsual = 4 << 20;             // bytes per second

// The n-th address of a /16: one /24 after the other, so that each has as few as can be.
IpAddress address_in(uint32_t prefix, size_t n) {
  return IpAddress::v4(prefix << 16 | static_cast<uint32_t>(n % 256) << 8 | static_cast<uint32_t>(1 + n / 256 % 254));
}

class Maker {
 public:
  Maker(const FloodModel& m, Population& p) : model_(m), population_(p), rng_(Streams(m.seed).of("flood")), set_(p.network) {}

  void run() {
    const size_t systems = std::max<size_t>(model_.honest / 2, 40);
    for (size_t i = 0; i < model_.honest; i++) {
      const auto system = static_cast<uint32_t>(rng_.below(1 + rng_.below(systems)));
      add(kFirstPrefix + system, 1 + system, kUsual / 2 + rng_.below(kUsual), false);
    }
    for (size_t i = 0; i < model_.honest * model_.ratio; i++) {
      const auto prefix = static_cast<uint32_t>(i % (model_.systems * kPrefixesOfSystem));
      const auto system = model_.lies_about_systems ? static_cast<uint32_t>(i) : prefix / kPrefixesOfSystem;
      add(kFirstFalsePrefix + prefix, kFirstFalseSystem + system, kUsual * model_.claims, true);
    }
    population_.honest_tried = model_.honest;
    population_.false_tried = model_.honest * model_.ratio;
    for (const discovery::EntryPtr& e : set_.all()) {
      const auto& made = *made_.at(e->short_id.value);
      population_.admitted.push_back(made);
      (made.is_false ? population_.false_ones : population_.honest)++;
    }
    std::sort(population_.admitted.begin(), population_.admitted.end(),
              [](const FloodedRelay& a, const FloodedRelay& b) { return a.info.id < b.info.id; });
  }

 private:
  // Half are guards, half exits; all are middles.
  void add(uint32_t prefix, uint32_t system, uint64_t bandwidth, bool is_false) {
    auto relay = std::make_unique<FloodedRelay>();
    RelayInfo& r = relay->info;
    rng_.fill(r.id.bytes);
    r.identity.bytes = rng_.bytes<32>();
    r.wireguard.bytes = r.identity.bytes;
    r.endpoints = {{address_in(prefix, hosts_[prefix]++), 51820}};
    r.as_number = system;
    r.bandwidth = {bandwidth};
    r.created = wall_from_unix(kToday) - std::chrono::hours(24 * 60);
    r.expiry = wall_from_unix(kToday) + std::chrono::hours(24);
    r.flags.set(RelayFlag::middle);
    r.flags.set(made_.size() % 2 == 0 ? RelayFlag::guard : RelayFlag::exit);
    relay->is_false = is_false;
    auto e = std::make_shared<discovery::RelayEntry>();
    e->id = r.id;
    e->short_id = discovery::short_id_of(r.id);
    e->rank = rng_.u64();
    e->expiry = r.expiry;
    e->home = r.endpoints[0].address;
    made_[e->short_id.value] = std::move(relay);
    discovery::SetChanges changes;
    static_cast<void>(set_.insert(std::move(e), changes));
  }

  const FloodModel& model_;
  Population& population_;
  SeededRng rng_;
  discovery::RelaySet set_;
  std::map<uint64_t, std::unique_ptr<FloodedRelay>> made_;
  std::map<uint32_t, size_t> hosts_;  // of a /16
};

}  // namespace

Population flood(const FloodModel& model) {
  Population p;
  p.network.id.bytes = {7};
  p.today = wall_from_unix(kToday);
  p.network.extra_global = {*IpPrefix::parse("240.0.0.0/4")};
  Maker(model, p).run();
  return p;
}

uint32_t implied_share(const FloodModel& m) {
  const Network quotas;
  const double prefixes = static_cast<double>(m.systems * kPrefixesOfSystem);
  const double in_prefix = std::min<double>(static_cast<double>(m.honest * m.ratio) / prefixes, quotas.max_per_v4_16) / 2;
  const double honest = static_cast<double>(m.honest) / 2, most = static_cast<double>(m.claims) * in_prefix;
  const auto bound = [&](double groups, double each, uint64_t per_mille) {
    const auto least = static_cast<double>(routing::kWorthOfGroup);
    return std::min(each, std::max(least, (honest + groups * std::min(each, least)) * static_cast<double>(per_mille) / 1000));
  };
  const auto systems = static_cast<double>(m.systems);
  const double prefix = bound(prefixes, most, routing::kPrefixPerMille);
  const double his = m.lies_about_systems ? prefixes * prefix : systems * bound(systems, kPrefixesOfSystem * prefix, routing::kSystemPerMille);
  return static_cast<uint32_t>(1e6 * his / (honest + his));
}

PopulationView::PopulationView(const Population& p) : population_(p) {
  for (const FloodedRelay& r : p.admitted) all_.push_back(&r.info);
}

const FloodedRelay* PopulationView::at(const PeerId& id) const {
  const auto& of = population_.admitted;
  const auto it = std::lower_bound(of.begin(), of.end(), id, [](const FloodedRelay& r, const PeerId& i) { return r.info.id < i; });
  return it != of.end() && it->info.id == id ? &*it : nullptr;
}

const RelayInfo* PopulationView::find(const PeerId& id) const {
  const FloodedRelay* r = at(id);
  return r == nullptr ? nullptr : &r->info;
}

bool PopulationView::is_false(const PeerId& id) const {
  const FloodedRelay* r = at(id);
  return r != nullptr && r->is_false;
}

}  // namespace macrovpn::sim
