// A run from start to end, and what the scenario expected of it.
#include "sim/scenario/run.h"

namespace macrovpn::sim {

void Simulation::Sampler::each_second(World& w) {
  Sample s;
  s.second = static_cast<uint64_t>(w.elapsed() / 1s);
  s.packets = w.counters().datagrams;
  for (const auto& h : w.hosts()) {
    if (h->kind != HostKind::client) continue;
    s.circuits += h->counters.circuits;
    if (!h->runs()) continue;
    s.clients++;
    s.protected_clients += h->node->client()->protects();
  }
  for (const Worker& worker : run_.workers_) s.delivered += worker.load->report().delivered();
  run_.samples_.push_back(s);
}

void Simulation::go() {
  world_.start();
  for (size_t i = 0; i < scenario_.troubles.size(); i++) {
    trouble_rngs_.push_back(streams_.of("trouble", i));
  }
  for (size_t i = 0; i < scenario_.troubles.size(); i++) plan(scenario_.troubles[i], i);
  for (Laptop& l : laptops_) plan_step(l);
  world_.run_for(scenario_.lasts);
  if (!failure()) judge();
}

size_t Simulation::nodes() const {
  size_t n = 0;
  for (const auto& h : world_.hosts()) n += h->kind != HostKind::server;
  return n;
}

int64_t Simulation::node_memory() const {
  int64_t sum = 0;
  for (const auto& h : world_.hosts()) sum += h->node ? h->memory : 0;
  return sum;
}

Simulation::Least Simulation::least() const {
  Least l{UINT64_MAX, UINT64_MAX, {}, {}};
  std::map<HostId, uint64_t> delivered;
  for (const Worker& worker : workers_) delivered[worker.host] += worker.load->report().delivered();
  for (const auto& h : world_.hosts()) {
    if (h->kind != HostKind::client) continue;
    const uint64_t bytes = delivered[h->id];
    if (bytes < l.bytes) l.bytes = bytes, l.bytes_of = h->id;
    if (h->counters.circuits < l.circuits) l.circuits = h->counters.circuits, l.circuits_of = h->id;
  }
  if (l.bytes == UINT64_MAX) l = {};
  return l;
}

LoadReport Simulation::load_of(Work work) const {
  LoadReport all;
  for (const Worker& worker : workers_) {
    if (worker.work == work) all.add(worker.load->report());
  }
  if (work != Work::call || all.packets_sent == 0) return all;
  for (const Workload* site : sites_) {
    LoadReport heard = site->report();  // its pages are not a call's
    heard.bytes_down = heard.bytes_up = heard.done = heard.failed = 0;
    all.add(heard);
  }
  return all;
}

uint64_t Simulation::transferred(Work work) const {
  uint64_t n = 0;
  for (const Worker& worker : workers_) n += worker.work == work ? worker.load->report().done * worker.file : 0;
  return n;
}

uint64_t Simulation::wrong_bytes() const {
  uint64_t n = 0;
  for (const Worker& worker : workers_) n += worker.load->report().wrong_bytes;
  for (const Workload* site : sites_) n += site->report().wrong_bytes;
  return n;
}

void Simulation::judge() {
  const Expected& e = scenario_.expected;
  const auto short_of = [&](const char* what, uint64_t is, uint64_t wanted, std::vector<HostId> hosts) {
    if (is >= wanted) return;
    world_.fail({"expected", std::string("the scenario expects ") + what + ": " + std::to_string(wanted),
                 "there were " + std::to_string(is), std::move(hosts)});
  };
  const Least l = least();
  const auto minutes = static_cast<uint64_t>(scenario_.lasts / 1min);
  for (const auto& h : world_.hosts()) {
    if (!e.nothing_left || !h->node || !h->relays()) continue;
    const size_t callers = h->node->tunnels().ephemeral_count(), legs = h->node->relay()->legs(), leases = h->node->exit()->leases();
    if (callers + legs + leases == 0) continue;
    world_.fail({"leftovers", "what nobody needs any more is forgotten",
                 h->name + " still has " + std::to_string(callers) + " callers, " + std::to_string(legs) + " legs and " +
                     std::to_string(leases) + " leases", {h->id}});
  }
  if (const uint64_t wrong = wrong_bytes()) {
    world_.fail({"contents", "what a program gets is what the other side sent", std::to_string(wrong) + " bytes were others", {}});
  }
  short_of("nodes", nodes(), e.nodes, {});
  short_of("packets", world_.counters().datagrams, e.packets, {});
  short_of("kinds of faults", faults_.size() - faults_.count(Fault::hop), e.fault_kinds, {});
  short_of("bytes carried for every client", l.bytes, e.bytes_each, {l.bytes_of});
  short_of("circuits of every client", l.circuits, e.circuits_each_minute * minutes, {l.circuits_of});
}

}  // namespace macrovpn::sim
