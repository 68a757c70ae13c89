// What a running node shows of itself: counts, relay ids and the names of groups; no address and no
// destination.
#include <nlohmann/json.hpp>

#include "app/node_daemon.h"

namespace macrovpn::app {

using nlohmann::json;

namespace {

double ms(Duration d) {
  return static_cast<double>(d.count() / 1000) / 1000.0;
}

const char* name_of(node::Circuit::State s) {
  switch (s) {
    case node::Circuit::State::waiting_for_guard:
    case node::Circuit::State::building:
      return "building";
    case node::Circuit::State::ready:
      return "ready";
    case node::Circuit::State::draining:
      return "closing";
  }
  return "";
}

}  // namespace

std::string NodeDaemon::group_of(TunId tun) const {
  for (const auto& [group, a] : groups_) {
    if (a.tun == tun) return group;
  }
  return {};
}

json NodeDaemon::circuit_json(const node::Circuit& c) const {
  json path = json::array();
  for (const node::Hop& h : c.hops) {
    json hop{{"id", to_hex(h.relay.id.bytes)}, {"bound", h.bound}};
    if (h.up) hop["handshake_ms"] = ms(h.up_after);
    if (h.round_trip != Duration::zero()) hop["round_trip_ms"] = ms(h.round_trip);
    if (h.relay.region.known())
      hop["region"] = std::string(h.relay.region.code.begin(), h.relay.region.code.end());
    path.push_back(hop);
  }
  json out{{"id", c.id.value},
           {"state", name_of(c.state)},
           {"age_ms", (reactor_.now().mono - c.build_started) / 1ms},
           {"one_round_trip", !c.hop_by_hop},
           {"mtu", c.mtu()},
           {"ipv6", c.carries_v6()},
           {"bytes_out", c.tx_bytes},
           {"bytes_in", c.rx_bytes},
           {"path", path}};
  if (c.ready_after != Duration::zero()) out["build_ms"] = ms(c.ready_after);
  if (const std::string device = phones_->name_of(c.group.tun); !device.empty()) {
    out["device"] = device;
  } else if (!c.group.is_nobody()) {
    out["group"] = group_of(c.group.tun);
    if (c.group.slot != 0) out["slot"] = c.group.slot;  // of a proxy, which knows its name
  }
  return out;
}

// Sums over the workers.
struct NodeDaemon::Totals {
  size_t sessions = 0, legs = 0, leases = 0;
  node::RelayCounters relay;
  node::NodeCounters node;
  node::StunCounters stun;
  std::map<encryption::Drop, uint64_t> drops;
  json datagrams_of_workers = json::array();

  void add(const node::Node& n) {
    sessions += n.tunnels().ephemeral_count();
    if (n.relay() != nullptr) {
      legs += n.relay()->legs();
      leases += n.exit()->leases();
      using R = node::RelayCounters;
      for (const auto part : {&R::extended, &R::refused, &R::forwarded_down, &R::forwarded_up, &R::forwarded_bytes, &R::dropped})
        relay.*part += n.relay()->counters().*part;
      using S = node::StunCounters;
      for (const auto part : {&S::answered, &S::called_back, &S::too_small, &S::too_many, &S::refused})
        stun.*part += n.stun()->counters().*part;
    }
    using C = node::NodeCounters;
    for (const auto part : {&C::datagrams, &C::unknown, &C::malformed, &C::unknown_relay, &C::bad_trailer, &C::replayed_trailer,
                            &C::too_deep, &C::bad_payload, &C::strays})
      node.*part += n.counters().*part;
    for (size_t i = 1; i < static_cast<size_t>(encryption::Drop::count_); i++) {
      const auto drop = static_cast<encryption::Drop>(i);
      if (n.tunnels().count(drop) != 0) drops[drop] += n.tunnels().count(drop);
    }
    datagrams_of_workers.push_back(n.counters().datagrams);
  }
};

NodeDaemon::Totals NodeDaemon::totals() const {
  Totals t;
  each([&](shell::Driver& d) { t.add(d.node()); });
  return t;
}

json NodeDaemon::workers_json(const Totals& t) const {
  return {{"count", worker_count()},
          {"datagrams", t.datagrams_of_workers},
          {"strays", t.node.strays},
          {"lost_between", workers_ ? workers_->lost() : 0}};
}

// Of the first worker: relays with several introduce nobody.
json NodeDaemon::introductions_json() const {
  const node::IntroductionSide& side = *driver_->node().introductions();
  const node::RelayCounters& legs = driver_->node().relay()->counters();
  const node::IntroductionCounters& c = side.counters();
  json out{{"guests", side.registrations()}, {"introduced", c.introduced}, {"refused", c.refused}, {"asked", c.asked}, {"met", c.met},
           {"punched", c.punched}, {"not_punched", c.punch_failed}, {"guesses", c.guesses}, {"guess_failed", c.guess_failed}, {"guessed", c.guessed},
           {"sockets", side.sockets().size()}, {"sockets_not_made", driver_->sockets_not_made()}, {"spliced", legs.spliced}, {"straightened", legs.straightened}};
  if (c.met > 0) out["last_meeting_ms"] = ms(c.last_meeting);
  return out;
}

// No address: who asks knows it, and who reads a status need not.
json NodeDaemon::port_json() const {
  using State = discovery::PortMapping::State;
  const discovery::PortMapping m = port_->mapping();
  const char* const state = m.state == State::open ? "open" : m.state == State::failed ? "failed" : port_->has_router() ? "asking" : "no router";
  json out{{"state", state}, {"published", home_ && home_->is_open_at_router()}, {"renewed", m.renewed}, {"router_restarts", m.restarts}};
  if (m.state == State::failed) out["refused"] = m.refused;
  if (m.state != State::open) return out;
  out["by"] = discovery::name_of(m.by);
  out["outside_port"] = m.outside_port;
  out["lease_seconds"] = m.lifetime;
  return out;
}

json NodeDaemon::relay_json(const Totals& t) const {
  const auto& counters = t.relay;
  json out{{"id", to_hex(discovery::peer_id_of(options_.keys.identity.pub).bytes)},
           {"exit", options_.roles.exit != ExitRole::none},
           {"sessions", t.sessions},
           {"legs", t.legs},
           {"leases", t.leases},
           {"circuits_extended", counters.extended},
           {"circuits_refused", counters.refused},
           {"packets_relayed", counters.forwarded_down + counters.forwarded_up},
           {"bytes_relayed", counters.forwarded_bytes},
           {"stun",
            {{"answered", t.stun.answered},
             {"called_back", t.stun.called_back},
             {"too_small", t.stun.too_small},
             {"too_many", t.stun.too_many},
             {"refused", t.stun.refused}}}};
  if (operator_) out.update(operator_->json());
  if (json https = transports_->relay_json(); !https.is_null()) out["https"] = std::move(https);
  if (const auto* kept = driver_->node().records_kept()) out["records"] = kept->size();
  if (port_) out["port"] = port_json();
  if (const auto* verify = driver_->node().verify()) out["dials_served"] = verify->counters().served;
  if (home_) out["home"] = home_->json();
  out["introductions"] = introductions_json();
  if (exit_) {
    shell::ExitCounters exits = exit_->counters();
    if (workers_) workers_->ask_others([&](shell::Worker& w) { exits.add(w.exit()->counters()); });
    json denied = json::object();
    for (size_t i = 0; i < static_cast<size_t>(routing::ExitVerdict::kCount); i++) {
      if (const uint64_t count = exits.denied[i]; count != 0) {
        denied[routing::to_string(static_cast<routing::ExitVerdict>(i))] = count;
      }
    }
    out["exit_denied"] = denied;
    out["exit_tcp_opened"] = exits.tcp_opened;
    out["exit_udp_opened"] = exits.udp_opened;
  }
  return out;
}

json NodeDaemon::status() const {
  const node::Node& n = driver_->node();
  json out{{"state", controller::id_of(n.state())},
           {"words", controller::word_of(n.state())},
           {"network", {{"name", options_.network.name}, {"lab", options_.network.is_lab()}}},
           {"hops", options_.hops},
           {"relays_known", n.directory().relays().size()},
           {"descriptors_refused", refused_.size()},
           {"uptime_ms", (reactor_.now().mono - started_) / 1ms},
           {"system", groups_.contains(kSystemGroup)},
           {"circuits", json::array()},
           {"devices", json::array()}};
  if (n.live_directory() != nullptr) out["directory"] = keeper_->json(*n.live_directory());
  if (n.client() != nullptr) {
    for (const auto& [id, c] : n.client()->circuits()) out["circuits"].push_back(circuit_json(c));
    if (n.state() != controller::State::connected && !n.client()->trouble().empty()) out["cause"] = n.client()->trouble();
    out["transport"] = transports_->client_json();
    out["leases"] = {{"moved", moves_.moved}, {"lost", moves_.lost}, {"last_move_ms", ms(moves_.last_took)}};
  }
  for (const auto& [group, a] : groups_) {
    json d{{"group", group}, {"kind", a.kind == shell::PacketDevice::Kind::tun ? "tun" : "veth"}};
    if (const shell::PacketDevice* device = driver_->device(a.tun)) {
      d["bytes_out"] = device->carried().out;
      d["bytes_in"] = device->carried().in;
      d["superpackets"] = device->offloads().tcp;
    }
    out["devices"].push_back(d);
  }
  if (!phones_->empty()) out["phones"] = phones_->port_json();
  const auto offloads = driver_->datagram_offloads();
  out["trains"] = {{"out", offloads.trains_out}, {"in", offloads.trains_in}};
  const Totals all = totals();
  out["workers"] = workers_json(all);
  if (n.relay() != nullptr) out["relay"] = relay_json(all);
  json drops = json::object();
  for (const auto& [drop, count] : all.drops) drops[encryption::name_of(drop)] = count;
  const node::NodeCounters& c = all.node;
  for (const auto& [name, count] :
       {std::pair{"no_mask", c.unknown}, {"malformed_datagram", c.malformed}, {"unknown_relay", c.unknown_relay},
        {"forged_trailer", c.bad_trailer}, {"replayed_trailer", c.replayed_trailer}, {"too_deep", c.too_deep},
        {"bad_payload", c.bad_payload}}) {
    if (count != 0) drops[name] = count;
  }
  if (all.relay.dropped != 0) drops["no_leg"] = all.relay.dropped;
  out["datagrams"] = c.datagrams;
  out["drops"] = drops;
  return out;
}

}  // namespace macrovpn::app
