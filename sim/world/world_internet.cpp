// Programs, the exit's other side, and the servers.
//
// An exit gives its packets to the Internet after the shipped exit policy judged them, by an outlet of the lease (outlets.h).
#include "sim/world/world.h"

namespace macrovpn::sim {

class World::Port : public ProgramPort {
 public:
  Port(World& world, EventId timer) : world_(world), timer_(timer) {}
  Mono now() const override { return world_.now_.mono; }
  Packet empty_packet() override { return world_.pool_.take(); }
  void send(Packet ip) override { world_.outbox_.push_back(std::move(ip)); }
  void wake_at(Mono t) override { world_.heap_.schedule(timer_, t == kNever ? t : std::max(t, now())); }

 private:
  World& world_;
  EventId timer_;
};

void World::run_programs(Host& h, const std::function<void(Program&, ProgramPort&)>& f, size_t index) {
  Port port(*this, h.programs[index].timer);
  f(*h.programs[index].program, port);
  if (!outbox_.empty()) send_outbox(h);
}

void World::send_as_program(HostId id, TunId tun, std::span<Packet> packets) {
  Host& h = host(id);
  for (const Packet& p : packets) {
    h.counters.inner_up++;
    h.counters.inner_up_bytes += p.size();
    note(h, Happened::What::program_sent, id, p.size());
    tell([&](Watcher& w) { w.program_sent(*this, h, p.bytes()); });
  }
  if (!h.runs()) return;
  call(h, [&](node::Node& n, node::Effects& fx) { n.on_tun_packets(now_of(h), tun, packets, fx); });
}

void World::send_outbox(Host& h) {
  std::vector<Packet> out = std::move(outbox_);
  outbox_.clear();
  if (h.kind == HostKind::client) return send_as_program(h.id, TunId{1}, out);
  for (Packet& p : out) {  // a server answers
    const auto ip = routing::parse_ip(p.bytes());
    const auto exit = ip.ok() ? outlets_.exit_of(ip->destination) : std::nullopt;
    if (exit) fly_over_internet(h, *exit, std::move(p));
  }
}

void World::fly_over_internet(Host& from, HostId to, Packet p) {
  const uint32_t n = new_flight();
  Flight& f = flights_[n];
  f.packet = std::move(p);
  f.from = from.id;
  f.to = to;
  f.internet = true;
  counters_.internet++;
  launch(from, n);
}

void World::from_exit(Host& exit, Packet p) {
  note(exit, Happened::What::exit_sent, exit.id, p.size());
  tell([&](Watcher& w) { w.exit_sent(*this, exit, p.bytes()); });
  const auto ip = routing::parse_ip(p.bytes());
  if (!ip.ok() || !exit.policy || exit.policy->judge(*ip) != routing::ExitVerdict::allowed || !outlets_.leave(exit.id, p.bytes())) {
    counters_.refused_by_policy++;
    return;
  }
  const auto server = servers_.find(ip->destination);
  if (server == servers_.end()) {
    counters_.nowhere++;
    return;
  }
  fly_over_internet(exit, server->second, std::move(p));
}

void World::serve(Host& server, Flight& f) {
  note(server, Happened::What::got, f.from, f.packet.size());
  tell([&](Watcher& w) { w.server_got(*this, server, *hosts_[f.from.value], f.packet.bytes()); });
  for (size_t i = 0; i < server.programs.size(); i++) {
    run_programs(server, [&](Program& p, ProgramPort& port) { p.on_packet(port, f.packet.bytes()); }, i);
  }
}

void World::to_exit(Host& exit, Flight& f) {
  if (!exit.runs()) {
    counters_.to_the_dead++;
    return;
  }
  Packet answer = pool_.take();
  switch (outlets_.enter(f.packet.bytes(), exit.address, answer)) {
    case Outlets::Entry::taken: break;
    case Outlets::Entry::over: counters_.to_ended_leases++; return;
    case Outlets::Entry::too_big: counters_.too_big++; return fly_over_internet(exit, f.from, std::move(answer));
  }
  tell([&](Watcher& w) { w.exit_got(*this, exit, f.packet.bytes()); });
  note(exit, Happened::What::exit_got, f.from, f.packet.size());
  call(exit, [&](node::Node& n, node::Effects& fx) { n.on_exit_packets(now_of(exit), std::span(&f.packet, 1), fx); });
}

}  // namespace macrovpn::sim
