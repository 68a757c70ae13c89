// The device of `macrovpn up` (src/shell/system/system_vpn.h): a group without a program, which is served
// until `macrovpn down`, by whichever daemon runs.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/node_daemon.h"
#include "core/controller/state.h"
#include "shell/system/names.h"
#include "shell/system/routes.h"
#include "shell/system/system_vpn.h"

namespace macrovpn::app {

using nlohmann::json;

namespace {

constexpr shell::control::ConnectionId kNobody{0};
constexpr size_t kMaxGuests = 32;  // programs of users, all together; each has a circuit

void say_of_system(const Error& e) {
  std::fprintf(stderr, "macrovpn: the VPN of this computer: %s\n", e.message.c_str());
}

}  // namespace

Result<json> NodeDaemon::attach_system() {
  if (options_.roles.client != Roles::Client::on)
    return fail("the daemon that runs only relays for others; stop it, then run `macrovpn up` again");
  if (groups_.contains(kSystemGroup)) return json::object();
  TRY(auto device, shell::system::open_device());
  const auto kind = device.kind();
  TRY(const TunId tun, driver_->attach(std::move(device), node::Slots::only_own));
  groups_[kSystemGroup] = {tun, kNobody, kind, node::Slots::only_own};
  open_door();
  return json::object();
}

// `macrovpn run` of every user attaches here while the computer is up: a daemon of the user's own could not
// reach its relays, as its datagrams would go through the tunnel, and exits refuse relays.  Through the door
// one can attach a device, and see the state; nothing else.
void NodeDaemon::open_door() {
  auto door = shell::control::Server::listen_to_all(reactor_, shell::system::kDoor);
  if (!door) return say_of_system(door.error());
  door_ = std::move(*door);
  door_->on("status", [this](shell::control::Request&) -> Result<json> {
    return json{{"state", controller::id_of(driver_->node().state())}, {"hops", options_.hops}};
  });
  door_->on("attach", [this](shell::control::Request& r) -> Result<json> {
    const auto uid = r.connection.peer_uid();
    size_t guests = 0;
    for (const auto& [group, a] : groups_) guests += group.starts_with("user-");
    if (!uid || guests >= kMaxGuests)
      return fail("too many programs run through the VPN of this computer; close one");
    return attach(r, "user-" + std::to_string(*uid) + "-");
  });
  door_->on_disconnect([this](shell::control::ConnectionId id) { let_go_of(id); });
}

// Guests first: nobody tells of the connections that end with a server.
void NodeDaemon::close_door() {
  std::vector<std::string> guests;
  for (const auto& [group, a] : groups_) {
    if (shell::control::Server::came_through_a_door(a.owner)) guests.push_back(group);
  }
  for (const std::string& group : guests) let_go(group);
  door_.reset();
}

json NodeDaemon::detach_system() {
  let_go(kSystemGroup);
  close_door();
  return {{"needed", !groups_.empty() || options_.roles.relay == Roles::Relay::on}};
}

// After the death of another daemon.
void NodeDaemon::serve_system_again() {
  if (options_.roles.client != Roles::Client::on || !shell::system::is_wanted(options_.paths)) return;
  if (!shell::system::device_exists()) return;  // since a restart of the computer; `macrovpn up` makes it
  if (const auto attached = attach_system(); !attached) say_of_system(attached.error());
}

void NodeDaemon::look_after_system() {
  if (!groups_.contains(kSystemGroup)) return;
  const auto looked = shell::system::look_after(options_.paths);
  if (!looked) return say_of_system(looked.error());
  if (looked->kill_switch_was_gone)
    say_of_system(Error{"another firewall removed the kill switch; it is loaded again"});
}

}  // namespace macrovpn::app
