#include "sim/reference/small_net.h"

#include "core/routing/address_rewrite.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::sim {
namespace {

constexpr size_t kUdp = 8, kTcp = 20;
// Where exits must not let anybody out to; somebody is there who would notice.
constexpr std::array<uint32_t, 3> kTraps = {192u << 24 | 168u << 16 | 77u << 8 | 7, 169u << 24 | 254u << 16 | 1u << 8 | 1,
                                            100u << 24 | 64u << 16 | 77};

// Answers each packet once, with the same payload; and where it is told to, calls the program too.
class Echo final : public Program {
 public:
  void on_packet(ProgramPort& port, Bytes ip) override {
    const auto h = routing::parse_ip(ip);
    if (!h.ok() || h->protocol != routing::IpProtocol::udp || h->size < h->payload_at + kUdp + kAskHeader) return;
    const Bytes payload = ip.subspan(h->payload_at + kUdp, h->size - h->payload_at - kUdp);
    Packet p = port.empty_packet();
    const MutBytes udp = routing::start_ip(h->destination, h->source, routing::IpProtocol::udp, kUdp + payload.size(), p);
    store_be16(&udp[0], h->destination_port);
    store_be16(&udp[2], h->source_port);
    store_be16(&udp[4], static_cast<uint16_t>(udp.size()));
    std::copy(payload.begin(), payload.end(), udp.begin() + kUdp);
    routing::finish_ip(p);
    port.send(std::move(p));
    if (payload[8] != kCallBack) return;
    Packet call = port.empty_packet();
    const MutBytes tcp = routing::start_ip(h->destination, h->source, routing::IpProtocol::tcp, kTcp, call);
    store_be16(&tcp[0], h->destination_port);
    store_be16(&tcp[2], h->source_port);
    tcp[12] = 5 << 4;  // words of header
    tcp[13] = routing::kTcpSyn;
    routing::finish_ip(call);
    port.send(std::move(call));
  }
};

}  // namespace

WorldConfig SmallNet::config_of(uint64_t seed) {
  WorldConfig c;
  c.seed = seed;
  c.flat = 20ms;
  c.network.extra_global = Topology::extra_global();
  c.network.guard_age = Duration::zero();
  return c;
}

SmallNet::SmallNet(uint64_t seed)
    : rng_(Streams(seed).of("small net")), topology_({.hosting = 24, .homes = 12, .mobile = 2}, rng_), world_(config_of(seed)) {
  add_relays();
  add_servers();
  add_clients();
}

void SmallNet::add_relays() {
  for (size_t i = 0; i < kRelays; i++) {
    HostSpec spec;
    spec.kind = i < kPlainRelays ? HostKind::relay : HostKind::exit;
    spec.name = std::string(to_string(spec.kind)) + " " + std::to_string(i);
    spec.address = topology_.assign(i).v4;
    spec.as_number = topology_.systems()[i].number.value;
    spec.place = i < kPlainRelays + kExits / 2 ? Place::frankfurt : Place::tokyo;
    relays_.push_back(world_.add_host(spec));
  }
}

void SmallNet::add_servers() {
  for (size_t i = 0; i < kServers; i++) sites_.push_back(topology_.assign_site());
  std::vector<IpAddress> all = sites_;
  for (const uint32_t trap : kTraps) all.push_back(IpAddress::v4(trap));
  for (const IpAddress& a : all) {
    HostSpec spec;
    spec.kind = HostKind::server;
    spec.name = "server";
    spec.address = a;
    world_.add_program(world_.add_host(spec), std::make_unique<Echo>());
  }
}

void SmallNet::add_clients() {
  NatModel short_lived = NatModel::port_restricted();
  short_lived.timeout = 30s;
  const std::array<NatModel, kNetworks - 1> models = {short_lived, NatModel::symmetric(), NatModel::full_cone()};
  for (size_t i = 0; i < kClients; i++) {
    networks_.emplace_back();
    for (size_t n = 0; n < models.size(); n++) {
      networks_[i][n] = world_.add_nat(models[n], kInternet, topology_.assign(kRelays + 1 + n).v4, Place::frankfurt);
    }
    open_.push_back(topology_.assign(kRelays + 5).v4);
    HostSpec spec;
    spec.kind = HostKind::client;
    spec.name = "client " + std::to_string(i);
    spec.client = node::ClientConfig{};
    spec.realm = world_.inside_of(*networks_[i][0]);
    at_.push_back(networks_[i][0]);
    clients_.push_back(world_.add_host(spec));
  }
}

void SmallNet::roam(size_t client, size_t network) {
  at_[client] = networks_[client][network];
  const bool open = !at_[client];
  world_.move(clients_[client], open ? kInternet : world_.inside_of(*at_[client]), open ? open_[client] : IpAddress{}, Place::frankfurt);
}

Region SmallNet::home() const { return region_of(Place::frankfurt); }

std::optional<size_t> SmallNet::relay_number(HostId id) const {
  const auto at = std::find(relays_.begin(), relays_.end(), id);
  if (at == relays_.end()) return std::nullopt;
  return static_cast<size_t>(at - relays_.begin());
}
std::optional<size_t> SmallNet::client_number(HostId id) const {
  const auto at = std::find(clients_.begin(), clients_.end(), id);
  if (at == clients_.end()) return std::nullopt;
  return static_cast<size_t>(at - clients_.begin());
}
std::optional<size_t> SmallNet::device_of(HostId id, TunId t) const {
  for (size_t i = 0; i < kDevices; i++) {
    if (clients_[client_of(i)] == id && tun(i) == t) return i;
  }
  return std::nullopt;
}

Packet SmallNet::packet(const IpAddress& from, const Endpoint& to, const Question& q) {
  Packet p = world_.pool().take();
  const bool tcp = q.protocol == routing::IpProtocol::tcp;
  const size_t header = tcp ? kTcp : kUdp;
  const MutBytes bytes = routing::start_ip(from, to.address, q.protocol, header + std::max(q.size, kAskHeader), p);
  store_be16(&bytes[0], static_cast<uint16_t>(20'000 + q.number % 40'000));
  store_be16(&bytes[2], to.port);
  if (tcp) bytes[12] = (kTcp / 4) << 4, bytes[13] = routing::kTcpSyn;
  else store_be16(&bytes[4], static_cast<uint16_t>(bytes.size()));
  store_be64(&bytes[header], q.number);
  bytes[header + 8] = q.flags;
  routing::finish_ip(p);
  return p;
}

std::optional<uint64_t> SmallNet::number_of(Bytes ip) {
  const auto h = routing::parse_ip(ip);
  if (!h.ok()) return std::nullopt;
  const size_t header = h->protocol == routing::IpProtocol::tcp ? kTcp : kUdp;
  const bool ours = (h->protocol == routing::IpProtocol::udp || h->protocol == routing::IpProtocol::tcp) &&
                    h->size >= h->payload_at + header + kAskHeader;
  if (!ours) return std::nullopt;
  return load_be64(ip.data() + h->payload_at + header);
}

}  // namespace macrovpn::sim
