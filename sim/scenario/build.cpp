// A scenario's crowds become hosts.
#include "sim/net/topology.h"
#include "sim/programs/load_program.h"
#include "sim/scenario/run.h"

namespace macrovpn::sim {
namespace {

Network network_of(uint64_t seed) {
  Network n;
  SeededRng rng = Streams(seed).of("network");
  n.id.bytes = rng.bytes<8>();
  n.guard_age = Duration::zero();
  n.extra_global = Topology::extra_global();
  return n;
}

WorldConfig config_of(const Scenario& s, uint64_t seed) {
  WorldConfig c;
  c.seed = seed;
  c.network = network_of(seed);
  c.flat = s.apart;
  c.news = s.news;
  return c;
}

SystemKind system_of(const Crowd& c, HostKind kind) {
  if (kind != HostKind::client) return SystemKind::hosting;
  return c.access == Access::mobile ? SystemKind::mobile : SystemKind::homes;
}

NatModel model_of(const Crowd& c) {
  NatModel m = c.nat == NatKind::full_cone    ? NatModel::full_cone()
               : c.nat == NatKind::restricted ? NatModel::restricted()
               : c.nat == NatKind::symmetric  ? NatModel::symmetric()
                                              : NatModel::port_restricted();
  if (c.nat_timeout > Duration(0)) m.timeout = c.nat_timeout;
  return m;
}

TopologyModel systems_for(const Scenario& s) {
  size_t relays = 0;
  for (const Crowd& c : s.crowds) relays += c.kind == HostKind::relay || c.kind == HostKind::exit ? c.count : 0;
  TopologyModel m;
  m.hosting = std::clamp<size_t>(relays / 2, 24, 180);  // paths must differ in systems
  return m;
}

}  // namespace

Simulation::Simulation(const Scenario& s, uint64_t seed)
    : scenario_(s),
      streams_(seed),
      place_rng_(streams_.of("places")),
      topology_(systems_for(s), place_rng_),
      world_(config_of(s, seed)),
      checkers_(all_checkers({s.expected.recovery})),
      meter_(coalition_),
      sampler_(*this) {
  for (auto& c : checkers_) world_.watch(*c);
  world_.watch(meter_);
  world_.watch(sampler_);
  populate();
}

void Simulation::populate() {
  // Servers first: clients are told of them.
  const bool has_servers = std::any_of(scenario_.crowds.begin(), scenario_.crowds.end(),
                                       [](const Crowd& c) { return c.kind == HostKind::server; });
  if (!has_servers) scenario_.crowds.push_back({.count = 8, .kind = HostKind::server});
  for (const HostKind kind : {HostKind::server, HostKind::relay, HostKind::exit, HostKind::client}) {
    size_t number = 0;
    for (const Crowd& c : scenario_.crowds) {
      for (size_t i = 0; c.kind == kind && i < c.count; i++) add(c, number++);
    }
  }
}

HostSpec Simulation::placed(const Crowd& c, HostKind kind) {
  HostSpec spec;
  spec.kind = kind;
  spec.exit_v6 = c.v6;
  spec.place = c.places.empty() ? draw_place(place_rng_) : c.places[place_rng_.below(c.places.size())];
  const SystemKind system = system_of(c, kind);
  if (kind == HostKind::server) {
    spec.address = topology_.assign_site();
    spec.address6 = Topology::site6(spec.address);
  } else {
    const size_t as = topology_.draw_system(system, spec.place, place_rng_);
    spec.address = topology_.assign(as).v4;
    spec.as_number = topology_.systems()[as].number.value;
  }
  const Access access = c.access.value_or(Topology::access_of(system));
  spec.up = uplink(access);
  spec.down = downlink(access);
  return spec;
}

void Simulation::add(const Crowd& c, size_t number) {
  HostSpec spec = placed(c, c.kind);
  spec.name = std::string(to_string(c.kind)) + " " + std::to_string(number);
  BoxId box{UINT32_MAX};
  if (c.kind == HostKind::client) {
    node::ClientConfig client;
    client.hops = c.hops;
    client.build = c.hop_by_hop ? node::Build::hop_by_hop : node::Build::one_round_trip;
    client.spare_circuits = c.spares;
    spec.client = client;
    RealmId realm = kInternet;
    IpAddress outside = spec.address;
    if (c.carrier) {
      NatModel m = NatModel::symmetric();
      m.timeout = 2min;
      realm = world_.inside_of(world_.add_nat(m, realm, outside, spec.place));
      outside = topology_.assign_behind_carrier();
    }
    if (c.nat != NatKind::none) {
      box = world_.add_nat(model_of(c), realm, outside, spec.place);
      spec.realm = world_.inside_of(box);
      spec.address = {};
    } else {
      spec.realm = realm;
      spec.address = outside;
    }
  }
  const HostId id = world_.add_host(spec);
  good_up_.push_back(spec.up);
  good_down_.push_back(spec.down);
  homes_.push_back(box);
  if (c.kind == HostKind::server) {
    servers_.push_back(spec.address);
    program_rngs_.push_back(streams_.of("program", id.value));
    auto site = make_site(number, program_rngs_.back());
    sites_.push_back(site.get());
    world_.add_program(id, std::make_unique<LoadProgram>(std::move(site)));
  } else if (c.kind == HostKind::client) {
    add_client(c, id);
  }
}

void Simulation::add_client(const Crowd& c, HostId id) {
  if (c.roams > Duration(0)) add_laptop(c, id);
  if (c.work == Work::nothing) return;
  program_rngs_.push_back(streams_.of("program", id.value));
  auto load = make_work(c, id.value, servers_, scenario_.v6_sites, world_.began(), program_rngs_.back());
  workers_.push_back({id, c.work, load.get(), file_bytes(c)});
  world_.add_program(id, std::make_unique<LoadProgram>(std::move(load)));
}

}  // namespace macrovpn::sim
