// A client, two relays and an exit against each other, with the input as their wire and their clock.  Each
// step of the script delivers, loses, repeats, delays or bends a datagram, lets time pass, or gives a
// command.  Whatever happens: no invariant breaks, the exit's network gets no packet that the client's
// program did not send, and the program none that neither the exit's network nor the exit itself sent it: an exit names
// no other group.
#include <deque>
#include <set>

#include "core/node/node.h"
#include "core/routing/ip_reply.h"
#include "crypto/x25519.h"
#include "key_memory.h"

namespace macrovpn::node {
namespace {

constexpr size_t kNodes = 4, kClient = 0, kExit = 3;
constexpr size_t kMostSteps = 400, kMostFlights = 64;

class World {
 public:
  explicit World(Bytes script) : script_(script) {
    network_.id.bytes = {1, 2, 3};
    network_.guard_age = Duration::zero();
    network_.diversity_v4 = 28;
    network_.extra_global = {*IpPrefix::parse("192.0.2.0/24")};
    const uint8_t options = script_.u8();
    if ((options & 8) != 0) slots_ = Slots::many;
    for (size_t i = 0; i < kNodes; i++) configure(i, options);
    for (size_t i = 0; i < kNodes; i++) start(i);
    publish();
    command(
        [&](Node& n, Effects& fx) { static_cast<void>(n.attach(now_, TunId{1}, slots_, fx).ok()); });
  }

  void run() {
    for (size_t i = 0; script_.left() > 0 && i < kMostSteps; i++) {
      step();
      for (const Host& h : hosts_) h.node->check_invariants();
    }
  }

 private:
  struct Host {
    NodeConfig config;
    std::unique_ptr<Node> node;
    Endpoint listen, egress;
    PublicKey prekey;
  };
  struct Flight {
    size_t to;
    SocketId socket;
    Endpoint source;
    std::vector<uint8_t> bytes;
  };

  struct Keys {
    KeyPair wireguard;
    crypto::SigningKey identity;
  };
  static std::array<Keys, kNodes> make_keys() {
    SeededRng rng(9);
    std::array<Keys, kNodes> out;
    for (Keys& k : out) k = {crypto::x25519_generate(rng), crypto::ed25519_generate(rng)};
    return out;
  }

  void configure(size_t i, uint8_t options) {
    Host& h = hosts_[i];
    const IpAddress a = IpAddress::v4(0xc0000200u + 16 * static_cast<uint32_t>(i) + 1);
    h.listen = {a, 51820};
    h.egress = {a, 51821};
    static const std::array<Keys, kNodes> keys = make_keys();  // once: they cost more than most scripts
    h.config.wireguard = keys[i].wireguard;
    h.config.network = network_;
    h.config.legs = {.total = 8, .per_upstream = 4};
    h.config.leases = {.leases = 4, .pending = 4};
    if ((options & 1) != 0) h.config.tunnels.load_threshold = 0;
    if (i == kClient) {
      h.config.client = ClientConfig{.hops = 3, .spare_circuits = (options >> 1) & 1u};
      if ((options & 4) != 0) h.config.client->build = Build::hop_by_hop;
    } else {
      h.config.identity = keys[i].identity;
      h.config.relay = RelayConfig{i == kExit, false, {}};
    }
  }
  void start(size_t i) {
    hosts_[i].node = std::make_unique<Node>(hosts_[i].config, pool_, rngs_[i]);
    Effects fx;
    hosts_[i].node->start(now_, fx);
    apply(i, fx);
  }
  void publish() {
    now_.wall += 1s;
    for (size_t i = 1; i < kNodes; i++) {
      RelayInfo info;
      info.identity = hosts_[i].config.identity->pub;
      info.id = discovery::peer_id_of(info.identity);
      info.wireguard = hosts_[i].config.wireguard.pub;
      info.endpoints = {hosts_[i].listen};
      info.flags.set(i == 1 ? RelayFlag::guard : RelayFlag::middle);
      if (i == kExit) info.flags = RelayFlags{static_cast<uint16_t>(RelayFlag::exit)};
      info.bandwidth = {1'000'000};
      info.prekey = hosts_[i].prekey;
      info.created = now_.wall - std::chrono::hours(1000);
      info.signed_at = now_.wall;
      info.expiry = now_.wall + std::chrono::hours(36);
      for (Host& h : hosts_) static_cast<void>(h.node->directory().insert(info));
    }
    for (size_t i = 0; i < kNodes; i++) {
      Effects fx;
      hosts_[i].node->directory_changed(now_, fx);
      apply(i, fx);
    }
  }
  template <class F>
  void command(F f) {
    Effects fx;
    f(*hosts_[kClient].node, fx);
    apply(kClient, fx);
  }

  void apply(size_t from, Effects& fx) {
    for (Datagram& d : fx.datagrams) {
      for (size_t to = 0; to < kNodes; to++) {
        const bool egress = d.remote == hosts_[to].egress;
        if ((!egress && d.remote != hosts_[to].listen) || flights_.size() >= kMostFlights) continue;
        flights_.push_back({to,
                            egress ? kEgressSocket : kListenSocket,
                            d.socket == kEgressSocket ? hosts_[from].egress : hosts_[from].listen,
                            {d.packet.bytes().begin(), d.packet.bytes().end()}});
      }
    }
    for (const Packet& p : fx.exit_packets) {
      MV_ASSERT(from == kExit && sent_.contains(body(p.bytes())));
      last_out_.assign(p.bytes().begin(), p.bytes().end());
    }
    for (const TunPacket& t : fx.tun_packets) {
      // An answer of the exit's network, or a Packet Too Big of the client's own.
      const Bytes p = t.packet.bytes();
      MV_ASSERT(p.size() >= 20 && slot_of_address(IpAddress::v4(load_be32(&p[16]))).has_value());
      MV_ASSERT(from == kClient && (answered_.contains(body(p)) || (p.size() > 20 && p[9] == 1)));
    }
    for (const NodeEvent& e : fx.events) {
      if (const auto* k = std::get_if<PrekeyChanged>(&e)) hosts_[from].prekey = k->prekey;
    }
  }
  // What stays the same when addresses are rewritten: all behind the IP header but the UDP checksum.
  static std::vector<uint8_t> body(Bytes p) {
    if (p.size() < 28) return {};
    return {p.begin() + 28, p.end()};
  }

  void arrive(size_t i, bool keep) {
    if (flights_.empty()) return;
    i %= flights_.size();
    Flight f = flights_[i];
    if (!keep) flights_.erase(flights_.begin() + static_cast<ptrdiff_t>(i));
    Datagram d{f.socket, f.source, pool_.copy_of(f.bytes)};
    Effects fx;
    hosts_[f.to].node->on_datagrams(now_, std::span(&d, 1), fx);
    apply(f.to, fx);
  }
  void bend(size_t i) {
    if (flights_.empty()) return;
    Flight& f = flights_[i % flights_.size()];
    const uint8_t how = script_.u8();
    const size_t at = script_.le16() % std::max<size_t>(f.bytes.size(), 1);
    // Under the mask, or with the mask taken off by somebody who has the directory.
    const encryption::MaskKey mask(network_.id.bytes, hosts_[f.to].config.wireguard.pub);
    const bool bare = (how & 1) != 0 && mask.unmask(f.bytes).has_value();
    if ((how & 2) != 0) {
      f.bytes.resize(at);
    } else if (!f.bytes.empty()) {
      f.bytes[at] ^= static_cast<uint8_t>(how | 1);
    }
    if (bare && f.bytes.size() >= 16) mask.mask_handshake(f.bytes);
  }
  void pass_time(Duration by) {
    now_.mono += by;
    now_.wall += by;
    for (size_t i = 0; i < kNodes; i++) {
      for (int n = 0; n < 3 && hosts_[i].node->next_deadline() <= now_.mono; n++) {
        Effects fx;
        hosts_[i].node->on_deadline(now_, fx);
        apply(i, fx);
      }
    }
  }
  void from_program() {
    Packet p = pool_.take();
    const size_t size = 8 + 8 + script_.u8() * 6;
    const uint16_t slot = slots_ == Slots::many ? script_.u8() % 4 : 0;
    const MutBytes udp = routing::start_ip(address_of_slot(slot, IpFamily::v4), *IpAddress::parse("192.0.2.200"),
                                           routing::IpProtocol::udp, size, p);
    store_be16(&udp[4], static_cast<uint16_t>(size));
    store_le64(&udp[8], ++count_);
    routing::finish_ip(p);
    sent_.insert(body(p.bytes()));
    command([&](Node& n, Effects& fx) { n.on_tun_packets(now_, TunId{1}, std::span(&p, 1), fx); });
  }
  void from_internet() {
    if (last_out_.size() < 36) return;
    std::vector<uint8_t> answer = last_out_;
    std::swap_ranges(answer.begin() + 12, answer.begin() + 16, answer.begin() + 16);
    store_le64(&answer[28], ++count_);
    answered_.insert(body(answer));
    Packet p = pool_.copy_of(answer);
    Effects fx;
    hosts_[kExit].node->on_exit_packets(now_, std::span(&p, 1), fx);
    apply(kExit, fx);
  }
  // A control frame with a body of the script's, in a session of the client's own: hostile inside of the
  // encryption.
  void frame() {
    const auto& circuits = hosts_[kClient].node->client()->circuits();
    if (circuits.empty()) return;
    const uint8_t which = script_.u8();
    const auto& hops = circuits.begin()->second.hops;
    std::vector<uint8_t> f{static_cast<uint8_t>(0x10 + which % 16), 0, 0};
    const Bytes body = script_.take(std::min<size_t>(script_.left(), script_.u8()));
    Writer(f).bytes(body);
    store_le16(&f[1], static_cast<uint16_t>(body.size()));
    Effects fx;
    hosts_[kClient].node->send_frame(now_, hops[which / 16 % hops.size()].peer, f, fx);
    apply(kClient, fx);
  }
  // An exit that makes up packets: only what names the inside address may come through.
  void whisper() {
    const auto peers = hosts_[kExit].node->tunnels().peers();
    if (peers.empty()) return;
    const uint8_t which = script_.u8();
    const IpAddress inside = address_of_slot(0, IpFamily::v4);
    const IpAddress to = (which & 1) != 0 ? inside : IpAddress::v4(0x0a0a8000u + which / 2);
    Packet p = pool_.take();
    const MutBytes udp = routing::start_ip(*IpAddress::parse("192.0.2.200"), to, routing::IpProtocol::udp, 16, p);
    store_be16(&udp[4], 16);
    store_le64(&udp[8], ++count_);
    routing::finish_ip(p);
    if (to == inside) answered_.insert(body(p.bytes()));
    Effects fx;
    hosts_[kExit].node->send_frame(now_, peers[which / 16 % peers.size()], p.bytes(), fx);
    apply(kExit, fx);
  }
  // The same from a relay to whoever calls it.
  void frame_down() {
    const uint8_t which = script_.u8();
    const size_t i = 1 + which % 3;
    const auto peers = hosts_[i].node->tunnels().peers();
    if (peers.empty()) return;
    std::vector<uint8_t> f{static_cast<uint8_t>(0x10 + which / 4 % 16), 0, 0};
    const Bytes body = script_.take(std::min<size_t>(script_.left(), script_.u8()));
    Writer(f).bytes(body);
    store_le16(&f[1], static_cast<uint16_t>(body.size()));
    Effects fx;
    hosts_[i].node->send_frame(now_, peers[which / 64 % peers.size()], f, fx);
    apply(i, fx);
  }
  void noise() {
    const uint8_t to = script_.u8();
    const Bytes b = script_.take(std::min<size_t>(script_.left(), script_.u8() * 2u));
    if (flights_.size() >= kMostFlights) return;
    flights_.push_back({to % kNodes,
                        to % 8 < 4 ? kListenSocket : kEgressSocket,
                        hosts_[to / 8 % kNodes].egress,
                        {b.begin(), b.end()}});
  }
  // All that is under way arrives, as a healthy network would have it.
  void settle() {
    for (int n = 0; n < 40 && !flights_.empty(); n++) {
      pass_time(1ms);
      arrive(0, false);
    }
  }

  void step() {
    const uint8_t op = script_.u8();
    const size_t which = op >> 4;
    switch (op & 15) {
      case 0:
        return arrive(which, false);
      case 1:
        return arrive(which, true);  // and comes again
      case 2:
        if (!flights_.empty())
          flights_.erase(flights_.begin() + static_cast<ptrdiff_t>(which % flights_.size()));
        return;
      case 3:
        return bend(which);
      case 4:
        return pass_time(std::chrono::milliseconds(script_.u8()));
      case 5:
        return pass_time(std::chrono::milliseconds(100) * script_.u8());
      case 6:
        return from_program();
      case 7:
        return from_internet();
      case 8:
        return frame();
      case 9:
        return frame_down();
      case 10:
        return which % 2 == 0 ? noise() : whisper();
      case 11:
        return command([&](Node& n, Effects& fx) { static_cast<void>(n.hop(now_, TunId{0}, fx).ok()); });
      case 12:
        return command([&](Node& n, Effects& fx) {
          n.detach(now_, TunId{1}, fx);
          static_cast<void>(n.attach(now_, TunId{1}, slots_, fx).ok());
        });
      case 13:
        if (which % 4 == 1) start(1 + which / 4 % 3);  // a relay dies and comes again
        return publish();
      case 14:
        now_.wall += std::chrono::minutes(static_cast<int>(which) - 7);
        return;
      default:
        return settle();
    }
  }

  Reader script_;
  std::array<RepeatingRng, kNodes> rngs_{RepeatingRng(1), RepeatingRng(2), RepeatingRng(3), RepeatingRng(4)};
  PacketPool pool_;
  Network network_;
  Now now_{Mono(std::chrono::hours(1)), wall_from_unix(1'790'000'000)};
  std::array<Host, kNodes> hosts_;
  std::deque<Flight> flights_;
  Slots slots_ = Slots::only_own;
  std::set<std::vector<uint8_t>> sent_, answered_;
  std::vector<uint8_t> last_out_;
  uint64_t count_ = 0;
};

}  // namespace
}  // namespace macrovpn::node

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) macrovpn::node::World({data, size}).run();
  return 0;
}
