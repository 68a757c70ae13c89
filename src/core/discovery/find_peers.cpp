// The order "best" weighs as path choice does, bandwidth capped at four times the median and age up to two weeks, and bends that by what we
// saw: how often a relay worked, and how long its answers took.  A claim counts half of what is verified: so nobody climbs by claiming,
// and nobody new is hidden.
#include "core/discovery/find_peers.h"

#include <algorithm>

namespace macrovpn::discovery {
namespace {

constexpr int64_t kFullAgeDays = 14;
constexpr double kClaimed = 0.5;
constexpr double kNeverUsed = 0.5;
constexpr double kBelievedDead = 0.001;
constexpr double kHalvedAt = 0.2;  // seconds of round trip

bool holds(Proof p, const PeerQuery& q) {
  return p == Proof::verified || (p == Proof::claimed && q.claims == PeerQuery::Claims::count);
}

bool in_regions(const PeerFacts& f, const PeerQuery& q) {
  return holds(f.region_is, q) && std::find(q.regions.begin(), q.regions.end(), f.region) != q.regions.end();
}

bool suits(const PeerFacts& f, const PeerQuery& q) {
  if ((f.flags.bits & q.roles.bits) != q.roles.bits) return false;
  if (f.answers == Liveness::dead && q.dead == PeerQuery::Dead::left_out) return false;
  if (q.min_bandwidth.bytes_per_second != 0 && (f.bandwidth < q.min_bandwidth || !holds(f.bandwidth_is, q))) return false;
  if (!q.regions.empty() && q.region_rule == PeerQuery::Regions::required && !in_regions(f, q)) return false;
  const bool unseen_is_kept = q.unseen == PeerQuery::Unseen::kept;
  if (q.max_latency != Duration::zero()) {
    const bool known = f.seen && f.seen->round_trip != Duration::zero();
    if (known ? f.seen->round_trip > q.max_latency : !unseen_is_kept) return false;
  }
  if (q.min_reputation > 0) {
    const bool known = f.seen && f.seen->was_used();
    if (known ? f.seen->reputation() < q.min_reputation : !unseen_is_kept) return false;
  }
  return true;
}

double seconds(Duration d) { return static_cast<double>(d.count()) / 1e9; }

double age_days(const PeerFacts& f, Wall now) { return seconds(now - f.created) / 86'400; }

uint64_t median_bandwidth(std::span<const PeerFacts* const> all) {
  std::vector<uint64_t> values;
  values.reserve(all.size());
  for (const PeerFacts* f : all) values.push_back(f->bandwidth.bytes_per_second);
  const auto mid = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), mid, values.end());
  return *mid;
}

// Higher is better.
double worth(const PeerFacts& f, double cap, Wall now) {
  double w = std::min(static_cast<double>(f.bandwidth.bytes_per_second), cap) + 1;
  if (f.bandwidth_is != Proof::verified) w *= kClaimed;
  w *= std::clamp(age_days(f, now), 1.0, static_cast<double>(kFullAgeDays));
  if (f.answers == Liveness::dead) w *= kBelievedDead;
  w *= f.seen && f.seen->was_used() ? f.seen->reputation() : kNeverUsed;
  if (f.seen) w *= kHalvedAt / (kHalvedAt + seconds(f.seen->round_trip));
  return w;
}

double key_of(const PeerFacts& f, const PeerQuery& q, double cap, Wall now) {
  switch (q.order) {
    case PeerOrder::best:
      return worth(f, cap, now);
    case PeerOrder::latency:
      return f.seen && f.seen->round_trip != Duration::zero() ? -seconds(f.seen->round_trip) : -1e9;
    case PeerOrder::bandwidth:
      return static_cast<double>(f.bandwidth.bytes_per_second) * (f.bandwidth_is == Proof::verified ? 1 : kClaimed);
    case PeerOrder::reputation:
      return f.seen ? f.seen->reputation() : 0;
    case PeerOrder::age:
      return age_days(f, now);
  }
  return 0;
}

}  // namespace

const char* name_of(Proof p) {
  switch (p) {
    case Proof::unknown:
      return "unknown";
    case Proof::claimed:
      return "claimed";
    case Proof::verified:
      return "verified";
    case Proof::refuted:
      return "refuted";
  }
  return "";
}

PeerFacts facts_of(const RelayInfo& r, const std::optional<RelaySeen>& seen) {
  PeerFacts f{r.id, r.flags, r.region, {}, Proof::unknown, Proof::unknown, r.bandwidth, r.created, seen};
  if (r.region.known()) f.region_is = Proof::claimed;
  if (r.bandwidth.bytes_per_second != 0) f.bandwidth_is = Proof::claimed;
  if (seen && seen->throughput.bytes_per_second != 0 && seen->throughput >= r.bandwidth) {
    f.bandwidth = seen->throughput;
    f.bandwidth_is = Proof::verified;
  }
  return f;
}

FoundPeers find_peers(std::span<const PeerFacts> all, const PeerQuery& q, Wall now) {
  std::vector<const PeerFacts*> fit;
  for (const PeerFacts& f : all) {
    if (suits(f, q)) fit.push_back(&f);
  }
  FoundPeers out{{}, fit.size()};
  if (fit.empty()) return out;
  const double cap = q.order == PeerOrder::best ? static_cast<double>(median_bandwidth(fit)) * 4 : 0;
  struct Ranked {
    bool preferred;
    double key;
    const PeerFacts* facts;
    bool operator<(const Ranked& o) const {
      if (preferred != o.preferred) return preferred;
      return key != o.key ? key > o.key : facts->id < o.facts->id;
    }
  };
  std::vector<Ranked> ranked;
  ranked.reserve(fit.size());
  const bool prefers = !q.regions.empty() && q.region_rule == PeerQuery::Regions::preferred;
  for (const PeerFacts* f : fit) ranked.push_back({prefers && in_regions(*f, q), key_of(*f, q, cap, now), f});
  const size_t n = std::min(q.most, ranked.size());
  const auto end = ranked.begin() + static_cast<std::ptrdiff_t>(n);
  if (n < ranked.size()) std::nth_element(ranked.begin(), end, ranked.end());
  std::sort(ranked.begin(), end);
  out.first.reserve(n);
  for (size_t i = 0; i < n; i++) out.first.push_back(ranked[i].facts);
  return out;
}

}  // namespace macrovpn::discovery
