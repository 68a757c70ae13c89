// Programs, the exit's other side, and the servers.
//
// An exit gives its packets to the Internet after the shipped exit policy judged them.  Each lease has an Internet address of its
// own (kLeaseSpace + n), so that no port has to be translated: what a masquerading exit does with ports is the kernel's matter,
// and nothing that the core could get wrong.
#include "core/routing/address_rewrite.h"
#include "sim/world/world.h"

namespace macrovpn::sim {
namespace {

constexpr uint32_t kLeaseSpace = 172u << 24 | 16u << 16;  // 172.16.0.0/12 (RFC 1918): nobody else's here
constexpr uint32_t kLeaseSpaceSize = 1u << 20;

// One address of a whole IPv4 packet, and the checksums that cover it (RFC 1624).
void replace_address(MutBytes ip, const routing::IpHeader& h, size_t at, const IpAddress& value) {
  ByteArray<4> before{};
  std::copy_n(ip.begin() + static_cast<ptrdiff_t>(at), 4, before.begin());
  std::copy_n(value.bytes().begin(), 4, ip.begin() + static_cast<ptrdiff_t>(at));
  store_be16(&ip[10], routing::updated_checksum(load_be16(&ip[10]), before, value.bytes()));
  const size_t offset = routing::checksum_offset(h.protocol);
  if (!h.has_transport() || offset == 0 || !routing::covers_pseudo_header(h.protocol)) return;
  uint8_t* field = &ip[h.payload_at + offset];
  if (h.protocol == routing::IpProtocol::udp && load_be16(field) == 0) return;
  uint16_t sum = routing::updated_checksum(load_be16(field), before, value.bytes());
  if (h.protocol == routing::IpProtocol::udp && sum == 0) sum = 0xffff;
  store_be16(field, sum);
}

}  // namespace

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
    if (!ip.ok() || !ip->is_v4()) continue;
    const uint32_t lease = ip->destination.v4_host_order() - kLeaseSpace;
    if (lease >= lease_holders_.size()) continue;
    replace_address(p.bytes(), *ip, 16, lease_holders_[lease].inside);
    const uint32_t n = new_flight();
    Flight& f = flights_[n];
    f.packet = std::move(p);
    f.from = h.id;
    f.to = lease_holders_[lease].exit;
    f.internet = true;
    counters_.internet++;
    launch(h, n);
  }
}

void World::from_exit(Host& exit, Packet p) {
  note(exit, Happened::What::exit_sent, exit.id, p.size());
  tell([&](Watcher& w) { w.exit_sent(*this, exit, p.bytes()); });
  const auto ip = routing::parse_ip(p.bytes());
  if (!ip.ok() || !ip->is_v4() || !exit.policy || exit.policy->judge(*ip) != routing::ExitVerdict::allowed) {
    counters_.refused_by_policy++;
    return;
  }
  const auto server = servers_.find(ip->destination);
  if (server == servers_.end()) {
    counters_.nowhere++;
    return;
  }
  const auto [lease, is_new] = lease_numbers_.try_emplace({exit.id, ip->source}, static_cast<uint32_t>(lease_holders_.size()));
  if (is_new) {
    MV_ASSERT(lease_holders_.size() < kLeaseSpaceSize);
    lease_holders_.push_back({exit.id, ip->source});
  }
  replace_address(p.bytes(), *ip, 12, IpAddress::v4(kLeaseSpace + lease->second));
  const uint32_t n = new_flight();
  Flight& f = flights_[n];
  f.packet = std::move(p);
  f.from = exit.id;
  f.to = server->second;
  f.internet = true;
  counters_.internet++;
  launch(exit, n);
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
  tell([&](Watcher& w) { w.exit_got(*this, exit, f.packet.bytes()); });
  note(exit, Happened::What::exit_got, f.from, f.packet.size());
  call(exit, [&](node::Node& n, node::Effects& fx) { n.on_exit_packets(now_of(exit), std::span(&f.packet, 1), fx); });
}

}  // namespace macrovpn::sim
