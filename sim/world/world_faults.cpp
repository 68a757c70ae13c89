// What goes wrong with hosts and networks.
#include "sim/engine/memory_meter.h"
#include "sim/world/world.h"

namespace macrovpn::sim {

// The program starts, with what is on the disk.
void World::boot(Host& h) {
  node::NodeConfig& c = h.config;
  c.wireguard = h.disk.wireguard;
  c.identity = h.disk.identity;
  c.commons.callers.witness = &witness_;
  c.commons.callers.aead = &aead_;
  if (c.client) {
    c.client->saved_guards = h.disk.guards;
    c.client->saved_middles = h.disk.middles;
    c.client->saved_observations = h.disk.observations;
  }
  if (h.kind == HostKind::exit) {
    h.policy.emplace(routing::ExitPolicyConfig{config_.network.extra_global, {h.address}, {}},
                     [this](const Endpoint& e) { return catalogue_.is_relay_endpoint(e); });
  }
  const int64_t before = bytes_held();
  h.node = std::make_unique<node::Node>(c, pool_, h.node_rng);
  h.memory = bytes_held() - before;
  h.node->believe_dead(h.disk.dead);
  // In the beginning relays know nobody until all have published: a list that is in use would be copied for each of them.
  if (started_ || !h.relays()) h.node->directory() = catalogue_;
  call(h, [&](node::Node& n, node::Effects& fx) { n.start(now_of(h), fx); });
  if (h.kind == HostKind::client) attach(h);
}

void World::attach(Host& h) {
  call(h, [&](node::Node& n, node::Effects& fx) {
    MV_ASSERT(n.attach(now_of(h), TunId{1}, node::Slots::only_own, fx).ok());
    n.directory_changed(now_of(h), fx);
  });
}

void World::stop(HostId id) {
  Host& h = host(id);
  if (h.node && h.node->client() != nullptr) h.disk.observations = h.node->client()->observations().save();
  crash(id);
}

void World::crash(HostId id) {
  Host& h = host(id);
  if (!h.node) return;
  note(h, Happened::What::fault, id, 0);
  h.node.reset();
  outlets_.forget_all(id);
  h.memory = 0;
  h.asleep = false;
  heap_.schedule(h.deadline, kNever);
  say(h, "crashes");
}

void World::restart(HostId id) {
  Host& h = host(id);
  if (h.node || h.kind == HostKind::server) return;
  note(h, Happened::What::fault, id, 1);
  say(h, "starts again, with its disk");
  boot(h);
}

void World::sleep(HostId id) {
  Host& h = host(id);
  if (!h.runs()) return;
  note(h, Happened::What::fault, id, 2);
  h.asleep = true;
  heap_.schedule(h.deadline, kNever);
  say(h, "goes to sleep");
}

// The clock of the core went on (CLOCK_BOOTTIME): everything that is due happens at once.
void World::wake(HostId id) {
  Host& h = host(id);
  if (!h.node || !h.asleep) return;
  note(h, Happened::What::fault, id, 3);
  h.asleep = false;
  say(h, "wakes up");
  call(h, [&](node::Node& n, node::Effects& fx) {
    n.directory() = catalogue_;
    n.directory_changed(now_of(h), fx);
  });
  reschedule(h);
  for (const RunningProgram& p : h.programs) heap_.schedule(p.timer, now_.mono);
}

void World::move(HostId id, RealmId realm, const IpAddress& address, Place place) {
  Host& h = host(id);
  note(h, Happened::What::fault, id, 4);
  realms_[h.realm.value].at.erase(h.address);
  h.place = place;
  give_address(h, realm, address);
  say(h, "moves to another network");
  if (h.node && h.relays()) publish(h);
}

void World::set_skew(HostId id, Duration skew) {
  Host& h = host(id);
  note(h, Happened::What::fault, id, 5);
  h.skew = skew;
  say(h, "has a calendar that is " + std::to_string(skew / 1s) + " s off");
}

void World::set_links(HostId id, const LinkModel& up, const LinkModel& down, const std::string& why) {
  Host& h = host(id);
  note(h, Happened::What::fault, id, 6);
  h.up.set(up);
  h.down.set(down);
  say(h, why);
}

void World::reboot_nat(BoxId id) { boxes_[id.value].nat.reboot(); }

void World::hop(HostId id) {
  command(id, [](node::Node& n, Now now, node::Effects& fx) { static_cast<void>(n.hop(now, TunId{0}, fx)); });
}

void World::command(HostId id, const std::function<void(node::Node&, Now, node::Effects&)>& what) {
  Host& h = host(id);
  if (!h.runs()) return;
  note(h, Happened::What::command, id, 0);
  call(h, [&](node::Node& n, node::Effects& fx) { what(n, now_of(h), fx); });
}

void World::set_service(HostId id, peers::Service service) {
  Host& h = host(id);
  if (!h.runs()) return;
  note(h, Happened::What::command, id, 1);
  say(h, service == peers::Service::open ? "serves again" : "is about to end and tells its callers");
  call(h, [&](node::Node& n, node::Effects& fx) { n.set_service(now_of(h), service, fx); });
}

void World::set_mischief(HostId id, std::unique_ptr<Mischief> m) {
  Host& h = host(id);
  say(h, m ? std::string("turns into one that ") + m->name() : std::string("is honest again"));
  h.mischief = std::move(m);
}

}  // namespace macrovpn::sim
