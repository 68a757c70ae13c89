#include "sim/studies/lab.h"

#include "core/routing/address_rewrite.h"

namespace macrovpn::sim {
namespace {

constexpr size_t kHomes = 40;

}  // namespace

const char* to_string(Position p) {
  switch (p) {
    case Position::guard: return "guard";
    case Position::middle: return "middle";
    case Position::exit: return "exit";
  }
  return "?";
}

Lab::Lab(const LabConfig& config, std::unique_ptr<Program> site_program)
    : config_(config),
      random_(Streams(config.seed).of("lab")),
      topology_({.hosting = config.relays + config.exits, .homes = kHomes, .mobile = 0}, random_),
      world_(world_config(config)),
      site_(topology_.assign_site()) {
  HostSpec site{.kind = HostKind::server, .name = "site", .address = site_};
  world_.add_program(world_.add_host(site), std::move(site_program));
  for (size_t i = 0; i < config.relays + config.exits; i++) {
    HostSpec spec = placed(i < config.relays ? HostKind::relay : HostKind::exit, i);
    spec.name = std::string(to_string(spec.kind)) + " " + std::to_string(i);
    spec.up = with_loss({});
    world_.add_host(spec);
  }
  world_.start();
  world_.run_for(2s);  // all know all
}

WorldConfig Lab::world_config(const LabConfig& config) {
  WorldConfig c{.seed = config.seed, .flat = config.link / 2, .beyond = Duration(0), .news = 1s};
  c.network.id.bytes = {1};
  c.network.guard_age = Duration::zero();
  c.network.extra_global = Topology::extra_global();
  return c;
}

// A datagram crosses the up link of whoever sends it, and so one lossy link on each link of a circuit.
LinkModel Lab::with_loss(LinkModel line) const {
  line.loss = LossModel::independent(config_.loss);
  return line;
}

HostSpec Lab::placed(HostKind kind, size_t system) {
  return {.kind = kind, .address = topology_.assign(system).v4, .as_number = topology_.systems()[system].number.value};
}

const IpAddress& Lab::inside() {
  return routing::InsideAddresses::get().client4;
}

HostId Lab::add_client(const node::ClientConfig& client, std::unique_ptr<Program> program, const LinkModel& line) {
  HostSpec spec = placed(HostKind::client, config_.relays + config_.exits + clients_ % kHomes);
  spec.name = "client " + std::to_string(clients_++);
  spec.client = client;
  spec.up = with_loss(line);
  spec.down = line;
  const HostId id = world_.add_host(spec);
  world_.add_program(id, std::move(program));
  return id;
}

std::optional<HostId> Lab::relay_of(HostId client, Position position) const {
  const Host& h = world_.host(client);
  if (!h.runs()) return std::nullopt;
  const node::ClientSide& side = *h.node->client();
  const auto group = side.groups().find({TunId{1}});
  if (group == side.groups().end()) return std::nullopt;
  const auto circuit = side.circuits().find(group->second.active);
  if (circuit == side.circuits().end() || circuit->second.hops.size() != 3) return std::nullopt;
  const Host* relay = world_.relay_of(circuit->second.hops[static_cast<size_t>(position)].relay.id);
  return relay == nullptr ? std::nullopt : std::optional(relay->id);
}

}  // namespace macrovpn::sim
