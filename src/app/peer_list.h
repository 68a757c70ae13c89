// What `macrovpn peers` shows: a query as JSON, in the daemon and without one, and its results.
#pragma once
#include <functional>
#include <nlohmann/json_fwd.hpp>

#include "app/region_watch.h"
#include "core/discovery/directory.h"
#include "core/discovery/find_peers.h"
#include "core/discovery/measured.h"
#include "model/relay_details.h"
#include "shell/config/descriptor_folder.h"

namespace macrovpn::app {

// Results in one answer of the daemon: a line of the control socket is 64 KiB at most.
inline constexpr size_t kPeersAtOnce = 100;

// Both ways between a command and the daemon (control.schema.json, "peers").  Throws json exceptions.
nlohmann::json to_json(const discovery::PeerQuery&);
discovery::PeerQuery query_of(const nlohmann::json&);

struct PeerSources {
  const discovery::Directory& directory;
  std::function<std::optional<RelaySeen>(const PeerId&)> seen;
  std::function<void(const RelayInfo&, discovery::PeerFacts&)> judge;  // of its region and bandwidth
  std::function<discovery::Liveness(const PeerId&)> liveness;
  std::function<std::optional<RelayDetails>(const PeerId&)> details;  // of those that are shown
};
std::vector<discovery::PeerFacts> all_facts(const PeerSources&, Wall now);
// {"peers": [...], "matched": n, "known": n}: at most `most` results, from the from-th on.
nlohmann::json peers_json(const PeerSources&, discovery::PeerQuery, size_t from, size_t most, Wall now);

// For PeerSources::judge.
void judge_region(RegionWatch&, const RelayInfo&, discovery::PeerFacts&);
// As well: of its bandwidth, by what others measured; what nobody measured is shown as it is claimed, not as it counts.
void judge_bandwidth(const discovery::BandwidthBook&, const PeerId&, Bandwidth claimed, discovery::PeerFacts&);
// What a descriptor in the folder says beside; it was verified when it came there.
std::optional<RelayDetails> details_in(const shell::DescriptorFolder&, const PeerId&);

}  // namespace macrovpn::app
