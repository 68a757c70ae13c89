#include "app/region_watch.h"

#include "shell/config/atomic_file.h"

namespace macrovpn::app {

using discovery::Proof;
using discovery::RegionProbe;

RegionWatch::RegionWatch(const shell::Settings& settings, const shell::Paths& paths)
    : own_(settings.own_region), claims_count_(settings.exit_region_claims) {
  const auto places = shell::country_database_places(settings.country_database, paths.data);
  file_ = places.front();
  for (const std::string& place : places) {
    if (!shell::file_exists(place)) continue;
    file_ = place;
    auto opened = shell::CountryDatabase::open(place);
    if (opened) {
      database_ = std::move(opened).value();
    } else {
      trouble_ = opened.error().message;
    }
    return;
  }
}

Region RegionWatch::database_says(const RelayInfo& relay) {
  if (!database_) return {};
  const IpAddress& address = relay.endpoints.front().address;
  if (const auto it = known_.find(address); it != known_.end()) return it->second;
  if (known_.size() >= discovery::kMaxRelays) known_.clear();
  return known_[address] = database_->country_of(address).value_or(Region{});
}

// What we measured is one witness, near or far; samples of a smoothed past count as enough, since only the shortest is used.
Proof RegionWatch::judge(const RelayInfo& relay, const std::optional<RelaySeen>& seen) {
  const RegionProbe own{own_, seen ? seen->direct : Duration::zero(), discovery::kSamples, RegionProbe::Trust::ours};
  const std::span<const RegionProbe> probes(&own, own_.known() && own.least > Duration::zero() ? 1 : 0);
  return discovery::judge_region({relay.region, database_says(relay), probes});
}

std::set<PeerId> RegionWatch::doubted(const discovery::Directory& directory,
                                      const std::function<std::optional<RelaySeen>(const PeerId&)>& seen) {
  std::set<PeerId> out;
  for (const auto& [id, relay] : directory.relays()) {
    if (!relay->flags.has(RelayFlag::exit) || !relay->region.known()) continue;
    const Proof p = judge(*relay, seen(id));
    const bool enough = p == Proof::verified || claims_count_ || database_says(*relay) == relay->region;
    if (p == Proof::refuted || !enough) out.insert(id);
  }
  return out;
}

}  // namespace macrovpn::app
