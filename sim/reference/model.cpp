#include "sim/reference/model.h"

#include <algorithm>
#include <utility>

namespace macrovpn::sim {
namespace {

constexpr size_t kMostDead = 2;   // of the plain relays: one of three guards serves then, and a way behind it exists
constexpr size_t kMostGuards = 3;
constexpr size_t kMoreAWeek = 2;  // while none of those has ever worked, and they might all be false

std::string seconds(Duration d) { return std::to_string(d / 1s) + " s"; }

}  // namespace

Model::Model(const ModelLimits& limits) : limits_(limits) { serves_.fill(true); }

std::string Model::name(size_t device) const {
  return "device " + std::to_string(device) + " of client " + std::to_string(client_of(device));
}

// ---- what is done

void Model::happened(Mono now, size_t client) {
  clients_[client].changed = now;
  update(now);
}
void Model::happened_to_all(Mono now) {
  for (Client& c : clients_) c.changed = now;
  update(now);
}
void Model::update(Mono now) {
  for (size_t i = 0; i < kClients; i++) {
    Client& c = clients_[i];
    if (!has_no_way(i)) c.no_way_since = kNever;
    else if (c.no_way_since == kNever) c.no_way_since = now;
    c.had_trouble_at_first |= !c.worked && is_in_trouble(c);
  }
}

void Model::turned(Mono now, size_t device, bool on) {
  Device& d = devices_[device];
  if (d.on == on) return;
  d.on = on;
  d.changed = now;
  d.life += on;
  d.asked_at = kNever;
  d.address.reset();  // another one from now on
  d.hopped_at = kNever;
  happened(now, client_of(device));
}

void Model::client_runs(Mono now, size_t client, bool runs) {
  clients_[client].runs = runs;
  clients_[client].awake = true;
  clients_[client].worked = false;
  for (size_t i = 0; i < kDevices; i++) {
    if (client_of(i) != client) continue;
    devices_[i].life += runs;  // its leases died with it
    devices_[i].address.reset();
    devices_[i].hopped_at = kNever;
  }
  happened(now, client);
}
void Model::client_awake(Mono now, size_t client, bool awake) { clients_[client].awake = awake, happened(now, client); }
void Model::udp_blocked(Mono now, size_t client, bool blocked) { clients_[client].blocked = blocked, happened(now, client); }
void Model::disturbed(Mono now, size_t client, bool disturbed) { clients_[client].disturbed = disturbed, happened(now, client); }
void Model::moved(Mono now, size_t client) { happened(now, client); }
void Model::settings(Mono now, size_t client, size_t hops, std::optional<Region> exits) {
  clients_[client].hops = hops;
  clients_[client].exits = exits;
  happened(now, client);
}
void Model::relay_serves(Mono now, size_t relay, bool serves) {
  serves_[relay] = serves;
  for (Device& d : devices_) {
    if (!serves && d.address && d.exit == relay) d.address_may_change = true;
  }
  happened_to_all(now);
}
void Model::relay_changed(Mono now) { happened_to_all(now); }

// ---- what there is

bool Model::has_way(size_t client) const {
  const Client& c = clients_[client];
  const auto dead = static_cast<size_t>(std::count(serves_.begin(), serves_.begin() + kPlainRelays, false));
  // Of the exits, those in the country that was asked for: the first half.
  const auto end = c.exits ? serves_.begin() + kPlainRelays + kExits / 2 : serves_.end();
  const bool exits = std::count(serves_.begin() + kPlainRelays, end, true) * 2 >= end - serves_.begin() - int(kPlainRelays);
  return c.runs && c.awake && !c.blocked && !c.disturbed && dead <= kMostDead && exits;
}

bool Model::has_no_way(size_t client) const {
  const Client& c = clients_[client];
  const bool relays = std::count(serves_.begin(), serves_.begin() + kPlainRelays, true) > 0;
  const bool exits = std::count(serves_.begin() + kPlainRelays, serves_.end(), true) > 0;
  return c.runs && c.awake && (c.blocked || !relays || !exits);
}

bool Model::is_in_trouble(const Client& c) const {
  return !c.awake || c.blocked || c.disturbed || std::count(serves_.begin(), serves_.end(), true) != kRelays;
}

bool Model::is_steady(Mono now, size_t client) const {
  const bool all_serve = std::count(serves_.begin(), serves_.end(), true) == kRelays;
  return all_serve && has_way(client) && now - clients_[client].changed >= limits_.steady;
}

// ---- packets

void Model::sent(Mono now, uint64_t number, const Sent& s) {
  const Device& d = devices_[s.device];
  const Client& c = clients_[client_of(s.device)];
  Packet p{s, now, d.life, d.on && c.runs && c.awake, 0, 0, false};
  p.must_be_answered = s.allowed && d.on && !s.has_repeats && is_steady(now, client_of(s.device)) && d.answered_at >= c.changed &&
                       now - d.answered_at <= limits_.warm;
  if (p.must_be_answered) unanswered_.insert(number), promised_++;
  packets_[number] = p;
}

Wrong Model::came_out(Mono now, uint64_t number, const Endpoint& target, const Exit& exit) {
  const auto at = packets_.find(number);
  if (at == packets_.end()) return "a packet came out that no program sent";
  Packet& p = at->second;
  const Device& d = devices_[p.sent.device];
  const std::string whose = "a packet of " + name(p.sent.device);
  if (!p.was_on) return whose + " came out that was sent while it was off";
  if (!p.sent.allowed) return whose + " came out that must not leave the tunnel";
  if (target != p.sent.target) return whose + " came out at another server than it was sent to";
  if (++p.out > 1) return whose + " came out twice";
  if ((!d.on || d.life != p.life) && now - d.changed > limits_.in_flight && now - clients_[client_of(p.sent.device)].changed > limits_.in_flight)
    return whose + " came out, " + seconds(now - d.changed) + " after it was turned off";
  const auto& wanted = clients_[client_of(p.sent.device)].exits;
  if (d.life == p.life && wanted && exit.region != *wanted) return whose + " came out in another country than the user wants";
  return wrong_address(now, p.sent.device, p.life, exit);
}

Wrong Model::wrong_address(Mono now, size_t device, uint64_t life, const Exit& exit) {
  Device& d = devices_[device];
  const auto [holder, is_new] = holders_.try_emplace({exit.relay, exit.life, exit.address}, Holder{device, life});
  if (!is_new && holder->second.device != device)
    return name(device) + " speaks from the address that " + name(holder->second.device) + " had at that exit";
  if (!is_new && holder->second.life != life)
    return name(device) + " speaks from the address that it had before it was turned off or its client ended";
  if (life != d.life) return std::nullopt;  // it was on its way: the address of then
  const bool changed = d.address && (*d.address != exit.address || d.exit != exit.relay);
  const bool may = std::exchange(d.address_may_change, !serves_[exit.relay]);
  d.address = exit.address;
  d.exit = exit.relay;
  if (changed && !may && now - d.answered_at < limits_.address_kept)
    return name(device) + " speaks from another address than before, and its connections are lost: its exit never ended";
  return std::nullopt;
}

Wrong Model::came_back(Mono now, uint64_t number, size_t device, const Endpoint& from) {
  const auto at = packets_.find(number);
  if (at == packets_.end()) return name(device) + " got an answer that no server sent";
  Packet& p = at->second;
  Device& d = devices_[device];
  if (p.sent.device != device) return name(device) + " got the answer to a packet of " + name(p.sent.device);
  if (from != p.sent.target) return name(device) + " got an answer from another server than it had asked";
  if (++p.back > p.out) return name(device) + " got an answer more often than the server gave it";
  if (!d.on) return name(device) + " got an answer while it was off";
  d.answered_at = now;
  d.asked_at = kNever;
  answered_++;
  unanswered_.erase(number);
  return std::nullopt;
}

Wrong Model::connection_opened(size_t device) const {
  return "somebody outside opened a connection to a program on " + name(device);
}

Wrong Model::entered_by(size_t client, const PeerId& relay) {
  Client& c = clients_[client];
  c.entries.insert(relay);
  const size_t most = kMostGuards + (c.had_trouble_at_first ? kMoreAWeek : 0);
  if (c.entries.size() <= most) return std::nullopt;
  return "client " + std::to_string(client) + " has shown its address to more than " + std::to_string(most) + " relays";
}

void Model::asks(Mono now, size_t device) {
  if (devices_[device].asked_at == kNever) devices_[device].asked_at = now;
}

// ---- what the node says

void Model::hopped(Mono now, size_t device, const Said& said) {
  Device& d = devices_[device];
  const bool fair = d.on && is_steady(now, client_of(device)) && d.answered_at >= clients_[client_of(device)].changed &&
                    !said.paths[device].empty() && now - d.answered_at <= limits_.warm && d.hopped_at == kNever;
  if (!fair) return;
  d.hopped_at = now;
  d.before_hop = said.paths[device];
}

Wrong Model::judge(Mono now, size_t client, const Said& said) {
  if (Wrong w = late_answers(now, client)) return w;
  if (Wrong w = wrong_state(now, client, said)) return w;
  for (size_t i = 0; i < kDevices; i++) {
    if (client_of(i) != client || !devices_[i].on || !clients_[client].runs) continue;
    if (Wrong w = wrong_path(now, i, said.paths[i])) return w;
  }
  return std::nullopt;
}

Wrong Model::late_answers(Mono now, size_t client) {
  const Client& c = clients_[client];
  for (size_t i = 0; i < kDevices; i++) {
    const Device& d = devices_[i];
    if (client_of(i) != client || !d.on || d.asked_at == kNever || !has_way(client)) continue;
    const Mono since = std::max(d.asked_at, c.changed);
    if (now - since > limits_.recovery)
      return name(i) + " asks each second and has no answer, " + seconds(now - since) + " after it began and the last thing changed";
  }
  for (auto at = unanswered_.begin(); at != unanswered_.end();) {
    const Packet& p = packets_[*at];
    const bool excused = !is_steady(now, client_of(p.sent.device)) || devices_[p.sent.device].life != p.life;
    if (!excused && now - p.at > limits_.at_once)
      return "a packet of " + name(p.sent.device) + " has no answer after " + seconds(now - p.at) + ", in a network where nothing was wrong";
    at = excused ? unanswered_.erase(at) : std::next(at);
  }
  return std::nullopt;
}

Wrong Model::wrong_state(Mono now, size_t client, const Said& said) {
  Client& c = clients_[client];
  c.worked |= said.connected;
  if (said.connected) c.not_connected_since = kNever;
  else if (c.not_connected_since == kNever) c.not_connected_since = now;
  bool any_on = false;
  Mono asking_since = kNever;
  for (size_t i = 0; i < kDevices; i++) {
    if (client_of(i) != client || !devices_[i].on) continue;
    any_on = true;
    if (devices_[i].asked_at != kNever) asking_since = std::min(asking_since, devices_[i].asked_at);
  }
  const Duration limit = asking_since == kNever ? limits_.unused : limits_.recovery;
  const bool late = !said.connected && now - c.changed > limit && now - c.not_connected_since > limits_.rebuilt;
  if (any_on && has_way(client) && late)
    return "client " + std::to_string(client) + " does not say that it is protected, " + seconds(now - c.changed) + " after the last thing changed";
  if (asking_since == kNever || c.no_way_since == kNever || !said.connected) return std::nullopt;
  if (now - std::max({asking_since, c.no_way_since, c.changed}) > limits_.noticed)
    return "client " + std::to_string(client) + " says that it is protected, and there has been no way out for " + seconds(now - c.no_way_since);
  return std::nullopt;
}

Wrong Model::wrong_path(Mono now, size_t device, const std::vector<PeerId>& path) {
  Device& d = devices_[device];
  const Client& c = clients_[client_of(device)];
  if (path.empty()) return std::nullopt;
  if (path.size() != c.hops)
    return name(device) + " has a circuit of " + std::to_string(path.size()) + " hops, and the user wants " + std::to_string(c.hops);
  if (std::set<PeerId>(path.begin(), path.end()).size() != path.size()) return name(device) + " has a circuit with a relay twice";
  if (d.hopped_at == kNever) return std::nullopt;
  if (!is_steady(now, client_of(device))) return d.hopped_at = kNever, std::nullopt;
  if (now - d.hopped_at < limits_.hopped) return std::nullopt;
  d.hopped_at = kNever;
  promised_++;
  if (path.back() != d.before_hop.back()) return name(device) + " has another exit after a hop, and its connections are lost";
  if (path.size() > 2 && path == d.before_hop) return name(device) + " has the same circuit after a hop";
  return std::nullopt;
}

}  // namespace macrovpn::sim
