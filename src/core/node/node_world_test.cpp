#include "core/node/node_world_test.h"

#include "core/discovery/details.h"
#include "core/routing/address_rewrite.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::node {
namespace {
constexpr uint16_t kListenPort = 51820, kEgressPort = 51821;
}

TestWorld::TestWorld(uint64_t seed) : rng_(seed) {
  now = {Mono(1000s), wall_from_unix(1'790'000'000)};
  network.id.bytes = {1, 2, 3, 4, 5, 6, 7, 8};
  network.guard_age = Duration::zero();
  for (const char* block : {"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"}) {
    network.extra_global.push_back(*IpPrefix::parse(block));
  }
  network.diversity_v4 = 28;
}

TestWorld::~TestWorld() {
  wire_.clear();
  hosts.clear();
}

void TestWorld::start(Host& h) {
  NodeConfig config = h.config;
  if (h.shards > 1) {
    h.commons = std::make_unique<PlainCommons>(
        PlainCommons::Limits{config.tunnels.ephemeral_peers, config.tunnels.half_open, config.legs.total,
                             config.leases.leases, config.leases.pending, config.relay->cap},
        rng_);
    config.commons = h.commons->get();
    config.place.shards = h.shards;
  }
  h.node = std::make_unique<Node>(config, pool_, rng_);
  for (uint8_t i = 1; i < h.shards; i++) {
    config.place.shard = ShardId{i};
    h.others.push_back(std::make_unique<Node>(config, pool_, rng_));
  }
  for (size_t i = 0; i < h.shards; i++) {
    Effects fx;
    h.shard(i).start(now, fx);
    apply(h, fx, i);
  }
}

size_t TestWorld::shard_for(Host& h, const Flight& f, const Endpoint& source) const {
  if (h.shards == 1) return 0;
  if (f.socket == kEgressSocket) return f.shard;
  return (steer ? steer(h, source) : std::hash<Endpoint>{}(source)) % h.shards;
}

TestWorld::Host& TestWorld::add_relay(const std::string& name, const std::string& address, bool exit, size_t shards) {
  auto& h = *(hosts[name] = std::make_unique<Host>());
  h.name = name;
  h.address = *IpAddress::parse(address);
  h.config.wireguard = crypto::x25519_generate(rng_);
  h.config.identity = crypto::ed25519_generate(rng_);
  h.config.network = network;
  h.config.relay = RelayConfig{exit, false, {}};
  h.config.directory = live;
  h.shards = shards;
  by_address_[h.address] = &h;
  start(h);
  return h;
}

TestWorld::Host& TestWorld::add_client(const std::string& name, const std::string& address,
                                       const ClientConfig& client) {
  auto& h = *(hosts[name] = std::make_unique<Host>());
  h.name = name;
  h.address = *IpAddress::parse(address);
  h.config.wireguard = crypto::x25519_generate(rng_);
  h.config.network = network;
  h.config.client = client;
  h.config.directory = live;
  by_address_[h.address] = &h;
  start(h);
  return h;
}

void TestWorld::restart(Host& h) {
  h.others.clear();
  h.node.reset();
  h.sockets.clear();
  h.dead = false;
  start(h);
}

void TestWorld::move(Host& h, const std::string& address) {
  by_address_.erase(h.address);
  h.address = *IpAddress::parse(address);
  by_address_[h.address] = &h;
}

RelayInfo TestWorld::describe(const Host& relay) const {
  RelayInfo info;
  info.identity = relay.config.identity->pub;
  info.id = discovery::peer_id_of(info.identity);
  info.wireguard = relay.config.wireguard.pub;
  info.endpoints = {{relay.address, kListenPort}};
  info.as_number = relay.as_number;
  info.flags.set(RelayFlag::middle);
  if (relay.nat == Host::Nat::none || relay.config.relay->exit) info.flags.set(relay.config.relay->exit ? RelayFlag::exit : RelayFlag::guard);
  if (relay.config.relay->introducer) info.flags.set(RelayFlag::introducer);
  for (const std::string& name : relay.introducers) info.introducers.push_back(discovery::peer_id_of(hosts.at(name)->config.identity->pub));
  info.bandwidth = relay.claim;
  info.prekey = relay.prekey;
  info.created = now.wall - std::chrono::hours(24 * 30);
  info.signed_at = now.wall;
  info.expiry = now.wall + std::chrono::hours(36);
  return info;
}

Contact TestWorld::contact(const Host& relay) const { return contact_of(describe(relay)); }

void TestWorld::announce(Host& relay) {
  RelayDetails details;
  details.measured = relay.measured;
  const auto bytes = discovery::sign_descriptor(describe(relay), network.id, *relay.config.identity, now.wall, std::nullopt, details);
  const auto entry = discovery::make_entry(*discovery::open_descriptor(bytes, network.id), network);
  MV_ASSERT(entry != nullptr);
  Effects fx;
  relay.node->publish(now, entry, fx);
  apply(relay, fx);
}

void TestWorld::publish() {
  for (auto& [name, r] : hosts) {
    if (!r->config.relay) continue;
    const RelayInfo info = describe(*r);
    for (auto& [other, h] : hosts) {
      for (size_t i = 0; i < h->shards && !h->dead; i++) static_cast<void>(h->shard(i).directory().insert(info));
    }
  }
  for (auto& [name, h] : hosts) {
    for (size_t i = 0; i < h->shards && !h->dead; i++) {
      Effects fx;
      h->shard(i).directory_changed(now, fx);
      apply(*h, fx, i);
    }
  }
}

std::optional<Endpoint> TestWorld::leave_nat(Host& h, SocketId socket, const Endpoint& to) {
  if (h.nat == Host::Nat::none) return std::nullopt;
  const uint16_t own = socket == kListenSocket ? kListenPort : kEgressPort;
  // As good routers draw them.
  const auto fresh = static_cast<uint16_t>(1024 + nat_ports_.below(65'536 - 1024));
  const auto port = h.mapped.try_emplace({socket, to}, h.nat == Host::Nat::hard ? fresh : own).first->second;
  return Endpoint{h.address, port};
}

bool TestWorld::enter_nat(const Host& h, const Endpoint& source, Flight& f) {
  if (h.nat == Host::Nat::none) return true;
  if (h.port_open && f.port == kListenPort) return true;
  for (const auto& [from, port] : h.mapped) {
    if (from.second != source || port != f.port) continue;
    f.socket = from.first;
    return true;
  }
  return false;
}

// As the driver: those that open before the datagrams leave, those that close after.
void TestWorld::change_sockets(Host& h, const Effects& fx, SocketChange::Kind kind) {
  for (const SocketChange& c : fx.sockets) {
    if (c.kind != kind) continue;
    MV_ASSERT(is_way_socket(c.socket) && (kind == SocketChange::Kind::open ? h.sockets.insert(c.socket).second : h.sockets.erase(c.socket) == 1));
    if (kind == SocketChange::Kind::open) std::erase_if(h.mapped, [&](const auto& m) { return m.first.first == c.socket; });
  }
}

void TestWorld::apply(Host& h, Effects& fx, size_t shard) {
  change_sockets(h, fx, SocketChange::Kind::open);
  for (Datagram& d : fx.datagrams) {
    const auto to = by_address_.find(d.remote.address);
    h.bytes_out += d.packet.size();
    MV_ASSERT(!is_way_socket(d.socket) || h.sockets.contains(d.socket));
    if (sends) sends(h, d);
    if (to == by_address_.end()) continue;
    const bool called = d.remote.port >= kEgressPort;
    Flight f{&h, to->second, called ? kEgressSocket : kListenSocket, {d.packet.bytes().begin(), d.packet.bytes().end()}, {}};
    f.shard = called ? d.remote.port - kEgressPort : 0;
    f.source = leave_nat(h, d.socket, d.remote);
    f.port = d.remote.port;
    if (to->second->nat != Host::Nat::none) f.shard = 0;
    // The source port is told by the socket that it left from; kept in the first byte pushed behind.
    f.bytes.push_back(static_cast<uint8_t>((is_way_socket(d.socket) ? 0 : d.socket.value) | shard << 4));
    if (tap) tap(f);
    if (drop && drop(f)) continue;
    wire_.emplace(now.mono + link, std::move(f));
  }
  change_sockets(h, fx, SocketChange::Kind::close);
  for (TunPacket& p : fx.tun_packets) h.tun.emplace_back(p.packet.bytes().begin(), p.packet.bytes().end());
  for (Packet& p : fx.exit_packets) h.exit.emplace_back(p.bytes().begin(), p.bytes().end());
  h.leases.insert(h.leases.end(), fx.exit_leases.begin(), fx.exit_leases.end());
  for (NodeEvent& e : fx.events) {
    if (const auto* k = std::get_if<PrekeyChanged>(&e)) h.prekey = k->prekey;
    if (const auto* g = std::get_if<GuardsChanged>(&e)) h.config.client->saved_guards = g->saved;
    if (const auto* m = std::get_if<MiddlesChanged>(&e)) h.config.client->saved_middles = m->saved;
    if (const auto* m = std::get_if<MeasuredChanged>(&e)) {
      h.measured = m->measured;
      h.config.directory->saved_measured = m->measured ? discovery::encode_measured(*m->measured) : std::vector<uint8_t>{};
    }
    h.events.push_back(std::move(e));
  }
  for (size_t i = 1; i < h.shards && !(fx.directory.come.empty() && fx.directory.gone.empty()); i++) {
    Effects there;
    h.shard(i).follow_directory(now, fx.directory, there);
    apply(h, there, i);
  }
  for (const auto& check : fx.checks) {
    h.checks++;
    Effects after;
    h.node->on_checked(now, check.id, discovery::run_check(check, network, discovery::CheckDepth::signatures, now.wall), after);
    apply(h, after);
  }
  std::vector<ShardMessage> crossing = std::move(fx.to_shards);
  for (ShardMessage& m : crossing) {
    MV_ASSERT(m.to.value < h.shards && m.to.value != shard && m.note.from.value == shard);
    crossed[m.note.kind]++;
    if (lose_crossing && lose_crossing(m)) continue;
    Effects there;
    const size_t to = m.to.value;
    h.shard(to).on_shard_messages(now, std::span(&m, 1), there);
    apply(h, there, to);
  }
}

bool TestWorld::run_until(const std::function<bool()>& done, Duration at_most) {
  const Mono end = now.mono + at_most;
  while (!done()) {
    Mono next = wire_.empty() ? kNever : wire_.begin()->first;
    for (auto& [name, h] : hosts) {
      for (size_t i = 0; i < h->shards && !h->dead; i++) next = std::min(next, h->shard(i).next_deadline());
    }
    if (next > end) {
      now.wall += end - now.mono;
      now.mono = end;
      return done();
    }
    if (next > now.mono) {
      now.wall += next - now.mono;
      now.mono = next;
    }
    for (auto& [name, h] : hosts) {
      for (size_t i = 0; i < h->shards; i++) {
        if (h->dead || h->shard(i).next_deadline() > now.mono) continue;
        Effects fx;
        h->shard(i).on_deadline(now, fx);
        apply(*h, fx, i);
      }
    }
    while (!wire_.empty() && wire_.begin()->first <= now.mono) {
      Flight f = std::move(wire_.extract(wire_.begin()).mapped());
      if (f.to->dead) continue;
      const bool called = (f.bytes.back() & 0x0f) == kEgressSocket.value;
      const auto port = static_cast<uint16_t>(called ? kEgressPort + (f.bytes.back() >> 4) : kListenPort);
      f.bytes.pop_back();
      const Endpoint source = f.source ? *f.source : Endpoint{f.from->address, port};
      if (!enter_nat(*f.to, source, f) || (is_way_socket(f.socket) && !f.to->sockets.contains(f.socket))) continue;
      f.to->datagrams_in++;
      f.to->bytes_in += f.bytes.size();
      Datagram d{f.socket, source, pool_.copy_of(f.bytes)};
      Effects fx;
      const size_t at = shard_for(*f.to, f, source);
      f.to->shard(at).on_datagrams(now, std::span(&d, 1), fx);
      apply(*f.to, fx, at);
    }
  }
  return true;
}

void TestWorld::run_for(Duration d) {
  run_until([] { return false; }, d);
}

void TestWorld::attach(Host& client, TunId tun, Slots slots) {
  Effects fx;
  MV_ASSERT(client.node->attach(now, tun, slots, fx).ok());
  apply(client, fx);
}

void TestWorld::detach(Host& client, TunId tun) {
  Effects fx;
  client.node->detach(now, tun, fx);
  apply(client, fx);
}

void TestWorld::hop(Host& client) {
  Effects fx;
  MV_ASSERT(client.node->hop(now, TunId{0}, fx).ok());
  apply(client, fx);
}

void TestWorld::command(Host& h, const std::function<void(Node&, Effects&)>& f) {
  for (size_t i = 0; i < h.shards; i++) {
    Effects fx;
    f(h.shard(i), fx);
    apply(h, fx, i);
  }
}

void TestWorld::send_from_program(Host& client, TunId tun, Bytes packet) {
  Packet p = pool_.copy_of(packet);
  Effects fx;
  client.node->on_tun_packets(now, tun, std::span(&p, 1), fx);
  apply(client, fx);
}

void TestWorld::send_frame(Host& from, PeerRef session, Bytes frame) {
  Effects fx;
  from.node->send_frame(now, session, frame, fx);
  apply(from, fx);
}

void TestWorld::send_datagram(Host& from, Host& to, Bytes datagram) {
  send_forged({from.address, kListenPort}, to, kListenSocket, datagram);
}

void TestWorld::send_forged(const Endpoint& source, Host& to, SocketId socket, Bytes datagram) {
  Flight f{nullptr, &to, socket, {datagram.begin(), datagram.end()}, source};
  f.bytes.push_back(kListenSocket.value);
  wire_.emplace(now.mono + link, std::move(f));
}

void TestWorld::send_from_exit(Host& exit, Bytes packet) {
  Packet p = pool_.copy_of(packet);
  // To the shard whose part of the private network it is.
  size_t at = 0;
  const auto h = routing::parse_ip(packet);
  for (uint8_t i = 0; h && i < exit.shards; i++) {
    if (routing::private_network(h->destination.family(), {ShardId{i}, exit.shards}).contains(h->destination)) at = i;
  }
  Effects fx;
  exit.shard(at).on_exit_packets(now, std::span(&p, 1), fx);
  apply(exit, fx, at);
}

const Circuit* TestWorld::active(const Host& client, TunId tun, uint16_t slot) const {
  const auto g = client.node->client()->groups().find({tun, slot});
  if (g == client.node->client()->groups().end()) return nullptr;
  const auto c = client.node->client()->circuits().find(g->second.active);
  return c == client.node->client()->circuits().end() ? nullptr : &c->second;
}

SmallNet::SmallNet(const ClientConfig& config, uint64_t seed, Size size) : TestWorld(seed) {
  for (int i = 0; i < size.relays; i++)
    add_relay("r" + std::to_string(i), "198.51.100." + std::to_string(10 + 16 * i), false);
  for (int i = 0; i < size.exits; i++)
    add_relay("e" + std::to_string(i), "203.0.113." + std::to_string(10 + 16 * i), true);
  add_client("client", "192.0.2.50", config);
}

TestWorld::Host& SmallNet::host_of(const PublicKey& wireguard) {
  for (auto& [name, h] : hosts) {
    if (h->config.wireguard.pub == wireguard) return *h;
  }
  MV_ASSERT(false);
}

const Circuit* SmallNet::connect(Host& who, TunId tun) {
  attach(who, tun);
  run_until([&] { return active(who, tun) != nullptr && active(who, tun)->granted; }, 20s);
  return active(who, tun);
}

void SmallNet::check_all() const {
  for (const auto& [name, h] : hosts) {
    for (size_t i = 0; i < h->shards && !h->dead; i++) h->shard(i).check_invariants();
  }
}

std::vector<uint8_t> udp_packet(const std::string& from, const std::string& to, size_t payload) {
  PacketPool pool;
  Packet p = pool.take();
  const MutBytes body = routing::start_ip(*IpAddress::parse(from), *IpAddress::parse(to),
                                          routing::IpProtocol::udp, 8 + payload, p);
  store_be16(&body[0], 4000);
  store_be16(&body[2], 53);
  store_be16(&body[4], static_cast<uint16_t>(8 + payload));
  routing::finish_ip(p);
  return {p.bytes().begin(), p.bytes().end()};
}

}  // namespace macrovpn::node
