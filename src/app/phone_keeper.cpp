#include "app/phone_keeper.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "shell/driver/own_addresses.h"
#include "shell/system/names.h"

namespace macrovpn::app {

using nlohmann::json;
using shell::SavedPhone;

namespace {

Result<void> read_key(const std::string& text, std::span<uint8_t, 32> out) {
  const auto bytes = from_base64(text);
  if (!bytes || bytes->size() != 32) return fail("a key is 32 bytes in base64");
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return {};
}

}  // namespace

PhoneKeeper::PhoneKeeper(const shell::Reactor& reactor, shell::Driver& driver, const DaemonOptions& options)
    : reactor_(reactor), driver_(driver), options_(options), mark_(geteuid() == 0 ? shell::system::kMark : 0) {}

Result<void> PhoneKeeper::start() {
  if (options_.roles.client != Roles::Client::on) return {};
  TRY(const auto saved, shell::load_phones(file()));
  for (const SavedPhone& s : saved) {
    TRY(const TunId tun, driver_.add_phone(s.phone));
    phones_.push_back({s, tun});
  }
  if (empty()) return {};
  if (const auto opened = open_port(); !opened) std::fprintf(stderr, "macrovpn: %s\n", opened.error().message.c_str());
  return {};
}

void PhoneKeeper::try_again() {
  if (!empty()) static_cast<void>(open_port().ok());
}

Result<void> PhoneKeeper::open_port() {
  if (open_) return {};
  auto socket = shell::UdpSocket::open({IpAddress(), port()}, mark_);
  if (!socket)
    return fail("devices cannot reach this node: UDP port " + std::to_string(port()) +
                " is taken by another program, or not for you; end that program, or choose another port with `macrovpn "
                "config set device.port NUMBER`, start the daemon again and add the devices anew");
  socket->let_fragment();  // a circuit may carry more than the way to the phone, and nobody searches for what that carries
  driver_.add_socket(node::kPhoneSocket, std::move(*socket));
  open_ = true;
  return {};
}

void PhoneKeeper::close_port_if_unused() {
  if (!empty()) return;
  driver_.remove_socket(node::kPhoneSocket);
  open_ = false;
}

Result<void> PhoneKeeper::store() const {
  std::vector<SavedPhone> all;
  for (const Kept& k : phones_) all.push_back(k.saved);
  return shell::store_phones(file(), all);
}

void PhoneKeeper::serve(shell::control::Server& server) {
  server.on("device.add", [this](shell::control::Request& r) { return add(r.params); });
  server.on("device.list", [this](shell::control::Request&) -> Result<json> { return list(); });
  server.on("device.remove", [this](shell::control::Request& r) { return remove(r.params); });
}

Result<json> PhoneKeeper::add(const json& params) {
  SavedPhone s;
  s.name = params.at("name").get<std::string>();
  TRY_VOID(shell::check_phone_name(s.name));
  TRY_VOID(read_key(params.at("key").get<std::string>(), s.phone.key.bytes));
  TRY_VOID(read_key(params.at("preshared").get<std::string>(), s.phone.preshared.fill()));
  const bool taken = std::any_of(phones_.begin(), phones_.end(), [&](const Kept& k) { return k.saved.name == s.name; });
  if (taken)
    return fail("there is a device " + s.name + " already; choose another name, or remove it first: macrovpn device remove " + s.name);
  TRY(const TunId tun, driver_.add_phone(s.phone));
  phones_.push_back({s, tun});
  auto outcome = open_port();
  if (outcome) outcome = store();
  if (!outcome) {
    phones_.pop_back();
    driver_.remove_phone(tun);
    close_port_if_unused();
    return outcome.failure();
  }
  json addresses = json::array();
  for (const IpFamily f : {IpFamily::v4, IpFamily::v6}) {
    if (const auto a = shell::outward_address(f, mark_)) addresses.push_back(a->reveal());
  }
  return json{{"node", to_base64(options_.keys.wireguard.pub.bytes)}, {"port", port()}, {"addresses", addresses}};
}

Result<json> PhoneKeeper::remove(const json& params) {
  const std::string name = params.at("name").get<std::string>();
  const auto it = std::find_if(phones_.begin(), phones_.end(), [&](const Kept& k) { return k.saved.name == name; });
  if (it == phones_.end()) return fail("there is no such device; `macrovpn device list` shows them");
  const Kept gone = *it;
  const auto at = phones_.erase(it);
  if (const auto stored = store(); !stored) {
    phones_.insert(at, gone);
    return stored.failure();
  }
  driver_.remove_phone(gone.tun);
  close_port_if_unused();
  return json::object();
}

json PhoneKeeper::list() const {
  json devices = json::array();
  const node::Node& n = driver_.node();
  for (const Kept& k : phones_) {
    json d{{"name", k.saved.name}, {"bytes_in", 0}, {"bytes_out", 0}};
    if (const auto info = n.tunnels().info(n.phones().peer_of(k.tun))) {
      d["bytes_in"] = info->rx_bytes;
      d["bytes_out"] = info->tx_bytes;
      if (info->last_handshake != kLongAgo) d["last_handshake_s"] = (reactor_.now().mono - info->last_handshake) / 1s;
    }
    devices.push_back(d);
  }
  return json{{"devices", devices}, {"port", port()}, {"open", open_}};
}

std::string PhoneKeeper::name_of(TunId tun) const {
  const auto it = std::find_if(phones_.begin(), phones_.end(), [&](const Kept& k) { return k.tun == tun; });
  return it == phones_.end() ? std::string() : it->saved.name;
}

json PhoneKeeper::port_json() const {
  return {{"count", phones_.size()}, {"port", port()}, {"open", open_}};
}

}  // namespace macrovpn::app
