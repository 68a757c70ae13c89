// What the commands ask of a running node (src/shell/control/control.schema.json).
#include <nlohmann/json.hpp>

#include "app/node_daemon.h"
#include "app/peer_list.h"

namespace macrovpn::app {

using nlohmann::json;
using shell::control::Request;

namespace {
constexpr size_t kMaxProxiesOfGuests = 4;  // each has kFewSlots circuits and one
constexpr size_t kMaxProxiesOfOneGuest = 2;
}

Result<void> NodeDaemon::serve() {
  TRY(server_, shell::control::Server::listen(reactor_, options_.control_socket));
  server_->on("status", [this](Request&) -> Result<json> { return status(); });
  server_->on("attach", [this](Request& r) { return attach(r); });
  server_->on("detach", [this](Request& r) -> Result<json> {
    let_go(r.params.at("group").get<std::string>());
    return json::object();
  });
  server_->on("hop", [this](Request& r) { return hop(r.params); });
  server_->on("system.attach", [this](Request&) { return attach_system(); });
  server_->on("system.detach", [this](Request&) -> Result<json> { return detach_system(); });
  server_->on("descriptor.reload", [this](Request&) -> Result<json> {
    scan_descriptors();
    json refused = json::array();
    for (const auto& [file, why] : refused_) refused.push_back({{"file", file}, {"why", why}});
    return json{{"known", driver_->node().directory().relays().size()}, {"refused", refused}};
  });
  server_->on("peers", [this](Request& r) -> Result<json> {
    const Wall now = reactor_.now().wall;
    const node::ClientSide* client = driver_->node().client();
    const PeerSources sources{driver_->node().directory(),
                              [&](const PeerId& id) { return client != nullptr ? client->observations().seen(id, now) : std::nullopt; },
                              [&](const RelayInfo& relay, discovery::PeerFacts& f) {
                                judge_region(*regions_, relay, f);
                                const auto* live = driver_->node().live_directory();
                                const auto entry = live != nullptr ? live->set().find(discovery::short_id_of(relay.id)) : nullptr;
                                if (entry) judge_bandwidth(live->bandwidths().book(), relay.id, entry->descriptor.relay.bandwidth, f);
                              },
                              [&](const PeerId& id) { return driver_->node().liveness(reactor_.now(), id); },
                              [&](const PeerId& id) { return details_of(id); }};
    return peers_json(sources, query_of(r.params), r.params.value("from", size_t{0}), kPeersAtOnce, now);
  });
  server_->on("directory.accept", [this](Request&) { return accept_directory(); });
  phones_->serve(*server_);
  records_->serve(*server_);
  server_->on("stop", [this](Request&) -> Result<json> {
    reactor_.after(100ms, [this] { stop(); });  // the answer goes out first
    return json::object();
  });
  server_->on_disconnect([this](shell::control::ConnectionId id) {
    let_go_of(id);
    records_->let_go_of(id);
  });
  return {};
}

void NodeDaemon::let_go_of(shell::control::ConnectionId owner) {
  std::vector<std::string> own;
  for (const auto& [group, a] : groups_) {
    if (a.owner == owner) own.push_back(group);
  }
  for (const std::string& group : own) let_go(group);
}

size_t NodeDaemon::proxies_of_guests(const std::string& prefix) const {
  return static_cast<size_t>(std::count_if(groups_.begin(), groups_.end(), [&](const auto& g) {
    return g.second.slots == node::Slots::few && g.first.starts_with(prefix);
  }));
}

Result<json> NodeDaemon::attach(Request& r, const std::string& prefix) {
  if (options_.roles.client != Roles::Client::on) {
    return fail("this daemon only relays for others; start `macrovpn daemon` for programs of your own");
  }
  const std::string group = prefix + r.params.at("group").get<std::string>();
  const auto state = from_hex(r.params.at("device").get<std::string>());
  shell::Fd fd = r.take_fd();
  if (group == kSystemGroup) return fail("the group \"" + group + "\" is that of `macrovpn up`; choose another --group");
  if (group.size() == prefix.size() || group.size() > 64 + prefix.size()) return fail("a group's name has 1 to 64 characters");
  if (!fd || !state) return fail("attach needs a packet device and its descriptor");
  TRY(auto device, shell::PacketDevice::decode(std::move(fd), *state));
  const auto kind = device.kind();
  if (const auto held = groups_.find(group); held != groups_.end() && held->second.owner != r.from) {
    return fail("another program runs in the group \"" + group + "\"; choose another --group, or none");
  }
  let_go(group);
  const bool wants_groups = r.params.value("groups", false);
  const auto slots = !wants_groups ? node::Slots::only_own : prefix.empty() ? node::Slots::many : node::Slots::few;
  if (slots == node::Slots::few) {
    if (proxies_of_guests(prefix) >= kMaxProxiesOfOneGuest)
      return fail("you have " + std::to_string(kMaxProxiesOfOneGuest) + " proxies through the VPN of this computer, no user may have more; close one");
    if (proxies_of_guests("") >= kMaxProxiesOfGuests)
      return fail("too many proxies of its users run through the VPN of this computer; close one, or wait until another user has");
  }
  TRY(const TunId tun, driver_->attach(std::move(device), slots));
  groups_[group] = {tun, r.from, kind, slots};
  const size_t most = slots == node::Slots::many ? node::kMaxSlotGroups : slots == node::Slots::few ? node::kFewSlots : 0;
  return json{{"mtu", node::mtu_for(options_.hops, IpFamily::v4)}, {"groups", most}};
}

void NodeDaemon::let_go(const std::string& group) {
  const auto it = groups_.find(group);
  if (it == groups_.end()) return;
  driver_->detach(it->second.tun);
  groups_.erase(it);
}

Result<json> NodeDaemon::hop(const json& params) {
  TunId tun{0};
  size_t count = groups_.size();
  if (params.contains("group")) {
    const auto it = groups_.find(params.at("group").get<std::string>());
    if (it == groups_.end()) return fail("no such group; `macrovpn status` lists them");
    tun = it->second.tun;
    count = 1;
  }
  TRY_VOID(driver_->hop(tun));
  return json{{"moved", count}};
}

}  // namespace macrovpn::app
