// A query over a directory of 10,000 relays, and what making it searchable costs.
#include <benchmark/benchmark.h>

#include "base/rng.h"
#include "core/discovery/directory.h"
#include "core/discovery/find_peers.h"

namespace macrovpn::discovery {
namespace {

const Wall kNow = wall_from_unix(1'800'000'000);

Directory ten_thousand() {
  SeededRng rng(1);
  Directory d;
  for (int i = 0; i < 10'000; i++) {
    RelayInfo r;
    r.id.bytes = rng.bytes<20>();
    r.wireguard.bytes = rng.bytes<32>();
    r.endpoints = {{IpAddress::v4(rng.u32()), 51820}};
    r.flags.bits = static_cast<uint16_t>(rng.below(32));
    r.region = {{static_cast<uint8_t>('A' + rng.below(4)), 'B'}};
    r.bandwidth = {rng.below(100'000'000)};
    r.created = kNow - std::chrono::hours(rng.below(2000));
    r.signed_at = kNow;
    r.expiry = kNow + std::chrono::hours(20);
    d.insert(r);
  }
  return d;
}

std::vector<PeerFacts> facts(const Directory& d) {
  SeededRng rng(2);
  std::vector<PeerFacts> all;
  all.reserve(d.relays().size());
  for (const auto& [id, r] : d.relays()) {
    std::optional<RelaySeen> seen;
    if (rng.below(4) == 0) seen = RelaySeen{rng.between(5ms, 400ms), {}, {rng.below(50'000'000)}, static_cast<double>(rng.below(60)), 1};
    all.push_back(facts_of(*r, seen));
  }
  return all;
}

void FindPeersOneScreen(benchmark::State& state) {
  const Directory d = ten_thousand();
  const auto all = facts(d);
  PeerQuery q{.min_bandwidth = {1'000'000}, .regions = {{{'A', 'B'}}, {{'B', 'B'}}}, .most = 50};
  q.region_rule = PeerQuery::Regions::preferred;
  for (auto _ : state) benchmark::DoNotOptimize(find_peers(all, q, kNow).matched);
}
BENCHMARK(FindPeersOneScreen)->Unit(benchmark::kMicrosecond);

void FindPeersAllInOrder(benchmark::State& state) {
  const Directory d = ten_thousand();
  const auto all = facts(d);
  for (auto _ : state) benchmark::DoNotOptimize(find_peers(all, {}, kNow).matched);
}
BENCHMARK(FindPeersAllInOrder)->Unit(benchmark::kMicrosecond);

void FindPeersMakeFacts(benchmark::State& state) {
  const Directory d = ten_thousand();
  for (auto _ : state) benchmark::DoNotOptimize(facts(d).size());
}
BENCHMARK(FindPeersMakeFacts)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace macrovpn::discovery
