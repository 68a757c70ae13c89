// Random operations on a relay: strangers call with a few keys from a few addresses, with early data that
// asks for this and that, confirm or not, send frames and packets, repeat and bend; a next relay answers what
// it likes; time passes. The relay's tables keep their limits and invariants, and an address at which nobody
// confirmed a session is never sent more bytes than came from it.
#include <map>
#include <set>

#include "core/node/node.h"
#include "crypto/x25519.h"
#include "key_memory.h"

namespace macrovpn::node {
namespace {

constexpr size_t kKeys = 6, kAddresses = 4;

class World {
 public:
  explicit World(Bytes script) : script_(script) {
    network_.id.bytes = {1, 2, 3, 4, 5, 6, 7, 8};
    network_.extra_global = {*IpPrefix::parse("192.0.2.0/24")};
    NodeConfig c;
    c.wireguard = keys_ = crypto::x25519_generate(rng_);
    c.identity = crypto::ed25519_generate(rng_);
    c.network = network_;
    c.relay = RelayConfig{true, false, {*IpPrefix::parse("192.0.2.1/32")}};
    c.tunnels.ephemeral_peers = 5;
    c.tunnels.ephemeral_per_source = 3;
    c.tunnels.half_open = 4;
    c.tunnels.half_open_per_source = 2;
    c.legs = {.total = 6, .per_upstream = 3, .per_source = 4, .per_relay = 4};
    c.leases = {.leases = 3, .pending = 3, .per_source = 2, .per_relay = 2};
    if (script_.u8() % 4 == 0) c.tunnels.load_threshold = 2;
    node_ = std::make_unique<Node>(c, pool_, rng_);
    Effects fx;
    node_->start(now_, fx);
    for (const NodeEvent& e : fx.events) {
      if (const auto* k = std::get_if<PrekeyChanged>(&e)) prekey_ = k->prekey;
    }
    helper_ = crypto::x25519_generate(rng_);
    for (uint8_t i = 0; i < 4; i++) list(i);
    for (size_t i = 0; i < kKeys; i++) {
      callers_[i].ours = crypto::x25519_generate(rng_);
      add(callers_[i]);
    }
  }

  void run() {
    for (int i = 0; script_.left() > 0 && i < 300; i++) {
      step();
      node_->check_invariants();
      for (const auto& [to, bytes] : out_) MV_ASSERT(confirmed_.contains(to) || bytes <= in_[to]);
    }
  }

 private:
  struct CallerOf {
    KeyPair ours;
    PeerRef peer;
    bool called = false;
  };

  void add(CallerOf& c) {
    c.peer = *client_.add_hop(now_.mono, {c.ours, keys_.pub, Route::udp(kListenSocket, listen_, kPlain)});
  }
  // Relay 0 helps the strangers; the others have endpoints that must be refused.
  void list(uint8_t i) {
    RelayInfo info;
    info.identity.bytes[0] = i;
    info.id = discovery::peer_id_of(info.identity);
    info.wireguard = i == 0 ? helper_.pub : crypto::x25519_generate(rng_).pub;
    info.endpoints = {i == 0   ? helper_at_
                      : i == 1 ? *Endpoint::parse("10.0.0.1:1")
                      : i == 2 ? *Endpoint::parse("192.0.2.1:7")
                               : *Endpoint::parse("127.0.0.1:1")};
    info.flags.set(RelayFlag::middle);
    info.signed_at = now_.wall;
    info.expiry = now_.wall + std::chrono::hours(36);
    static_cast<void>(node_->directory().insert(info));
    ids_[i] = info.id;
  }
  Endpoint address(uint8_t n) const { return {IpAddress::v4(0xc6336401u + n % kAddresses), 7}; }

  void apply(Effects& fx) {
    for (Datagram& d : fx.datagrams) {
      std::vector<uint8_t> bytes(d.packet.bytes().begin(), d.packet.bytes().end());
      if (d.remote == helper_at_) {
        if (to_helper_.size() < 16) to_helper_.push_back(bytes);
        continue;
      }
      MV_ASSERT(d.remote.address.bytes()[0] ==
                0xc6);  // one of the callers: nobody else is ever sent anything
      out_[d.remote] += bytes.size();
      // Whether its initiation or its refusal, it is for one of our hops.
      const encryption::MaskKey mask(network_.id.bytes, keys_.pub);
      if (!encryption::is_message(bytes) && !mask.unmask(bytes)) continue;
      if (bytes[0] == 2) bytes.resize(std::min<size_t>(bytes.size(), 92));
      if (bytes[0] == 3) bytes.resize(std::min<size_t>(bytes.size(), 64));
      answers_.emplace_back(d.remote, bytes);
      if (answers_.size() > 16) answers_.erase(answers_.begin());
    }
  }
  void receive(const Endpoint& from, SocketId socket, Bytes bytes) {
    if (bytes.size() > kPacketMax) return;
    if (from != helper_at_) in_[from] += bytes.size();
    Datagram d{socket, from, pool_.copy_of(bytes)};
    Effects fx;
    node_->on_datagrams(now_, std::span(&d, 1), fx);
    apply(fx);
  }
  void call_relay(const Endpoint& from, std::vector<uint8_t> bare, uint8_t how) {
    if ((how & 0x40) != 0) bare[script_.le16() % bare.size()] ^= static_cast<uint8_t>(script_.u8() | 1);
    if ((how & 0x80) != 0) bare.resize(32 + script_.le16() % bare.size());
    encryption::MaskKey(network_.id.bytes, keys_.pub).mask_handshake(bare);
    last_ = bare;
    receive(from, kListenSocket, bare);
  }

  std::vector<uint8_t> wish() {
    const uint8_t what = script_.u8();
    switch (what % 4) {
      case 0:
        return {};
      case 1: {
        routing::LeaseFrame f{.flags = static_cast<uint8_t>(what >> 2 & 1), .mtu = 1280};
        return routing::write_lease(f);
      }
      case 2: {
        ByteArray<148> message{1};
        store_le32(&message[4], what >> 4);  // few indexes: they collide
        const LegNumber leg{1u + (what >> 2 & 3)};
        return routing::write_extend(ids_[what >> 6], what >> 5 & 1 ? 9 : 0,
                                     routing::write_element(message, leg, {}));
      }
      default:
        return any_frame(what);
    }
  }
  std::vector<uint8_t> any_frame(uint8_t type) {
    std::vector<uint8_t> f{static_cast<uint8_t>(0x10 + type / 4 % 16), 0, 0};
    const Bytes body = script_.take(std::min<size_t>(script_.left(), script_.u8()));
    Writer(f).bytes(body);
    store_le16(&f[1], static_cast<uint16_t>(body.size()));
    return f;
  }
  void call(uint8_t which) {
    CallerOf& c = callers_[which % kKeys];
    const auto made = client_.start_handshake(now_, c.peer);
    if (!made.ok()) return;
    const uint8_t how = script_.u8();
    std::vector<uint8_t> early;
    if ((how & 1) != 0) {
      const auto plain = wish();
      if (plain.size() <= 900) early = *client_.seal_early(now_.wall, c.peer, prekey_, plain);
    }
    Packet p = pool_.copy_of(made->message);
    encryption::append_early(p, early);
    encryption::append_padding(p, rng_, std::min<size_t>(p.size() + 4u * script_.u8(), 1232));
    call_relay(address(how >> 1), {p.bytes().begin(), p.bytes().end()}, how);
  }
  // The stranger gets an answer after all, and so has a session.
  void take_answer(uint8_t which) {
    if (answers_.empty()) return;
    const auto [at, bytes] = answers_[which % answers_.size()];
    encryption::Out out;
    const Route from = Route::udp(kListenSocket, listen_, kPlain);
    if (bytes[0] == 2) static_cast<void>(client_.on_response(now_, from, bytes, out));
    if (bytes[0] == 3) static_cast<void>(client_.on_cookie_reply(now_, from, bytes));
    if (bytes[0] == 4) {
      Packet p = pool_.copy_of(bytes);
      encryption::OpenJob job{&p, from, {}, encryption::Drop::none};
      client_.open_batch(now_, {&job, 1}, out);
    }
    for (auto& m : out.messages) speak(at, m.packet.bytes());
  }
  void speak(const Endpoint& from, Bytes message) {
    confirmed_.insert(from);  // it may be: what follows is not bounded any more
    std::vector<uint8_t> bytes(message.begin(), message.end());
    encryption::MaskKey(network_.id.bytes, keys_.pub).mask(bytes);
    receive(from, kListenSocket, bytes);
  }
  void payload(uint8_t which) {
    CallerOf& c = callers_[which % kKeys];
    std::vector<uint8_t> plain = wish();
    if (which >= 128) {  // a relayed message, or an IP packet, or nothing known
      const Bytes raw = script_.take(std::min<size_t>(script_.left(), script_.u8()));
      plain.assign(raw.begin(), raw.end());
    }
    if (plain.size() > 1200) return;
    Packet p = pool_.copy_of(plain);
    encryption::SealJob job{c.peer, &p, {}, encryption::Drop::none};
    encryption::Out out;
    client_.seal_batch(now_, {&job, 1}, out);
    if (job.result == encryption::Drop::none) speak(address(script_.u8()), p.bytes());
  }
  void helper_answers(uint8_t which) {
    if (to_helper_.empty()) return;
    std::vector<uint8_t> got = to_helper_[which % to_helper_.size()];
    const encryption::MaskKey called(network_.id.bytes, helper_.pub);
    if (!called.unmask(got) || got[0] != 1) return;
    const uint8_t type = 2 + script_.u8() % 3;
    std::vector<uint8_t> d(type == 2 ? 92 : type == 3 ? 64 : 32 + 16 * (script_.u8() % 80));
    store_le32(d.data(), type);
    std::copy_n(&got[4], 4, &d[type == 2 ? 8 : 4]);
    if (type == 4) {
      encryption::PairKeys::derive(network_.id.bytes, helper_, keys_.pub)->mask_transport(d.data());
    } else {
      called.mask_handshake(d);
    }
    receive(helper_at_, kEgressSocket, d);
  }
  // A call in the helper's name, which really has the pair's key.
  void helper_calls(uint8_t which) {
    const auto made = client_.start_handshake(now_, callers_[which % kKeys].peer);
    if (!made.ok()) return;
    Packet p = pool_.copy_of(made->message);
    encryption::append_early(p, {});
    const auto pair = encryption::PairKeys::derive(network_.id.bytes, helper_, keys_.pub);
    encryption::append_trailer(p, *pair, {ids_[0], static_cast<uint8_t>(script_.u8() % 6), script_.le16()});
    std::vector<uint8_t> bytes(p.bytes().begin(), p.bytes().end());
    encryption::MaskKey(network_.id.bytes, keys_.pub).mask_handshake(bytes);
    receive(helper_at_, kListenSocket, bytes);
  }
  void pass_time(Duration by) {
    now_.mono += by;
    now_.wall += by;
    for (int n = 0; n < 3 && node_->next_deadline() <= now_.mono; n++) {
      Effects fx;
      node_->on_deadline(now_, fx);
      apply(fx);
    }
    if (client_.next_deadline() > now_.mono) return;
    encryption::Out out;
    client_.on_deadline(now_, out);
  }

  void step() {
    const uint8_t op = script_.u8(), which = script_.u8();
    switch (op % 9) {
      case 0:
      case 1:
        return call(which);
      case 2:
        return take_answer(which);
      case 3:
        return payload(which);
      case 4:
        return helper_answers(which);
      case 5:
        return helper_calls(which);
      case 6:
        return pass_time(std::chrono::milliseconds(which < 128 ? which : (which - 127) * 500));
      case 7:
        if (!last_.empty()) receive(address(which), kListenSocket, last_);
        return;
      default: {
        const Bytes b = script_.take(std::min<size_t>(script_.left(), which));
        return receive(address(op), which % 2 == 0 ? kListenSocket : kEgressSocket, b);
      }
    }
  }

  Reader script_;
  RepeatingRng rng_{1};
  PacketPool pool_;
  Network network_;
  Now now_{Mono(std::chrono::hours(1)), wall_from_unix(1'790'000'000)};
  Endpoint listen_ = *Endpoint::parse("192.0.2.1:51820"), helper_at_ = *Endpoint::parse("192.0.2.2:51820");
  KeyPair keys_, helper_;
  PublicKey prekey_;
  std::unique_ptr<Node> node_;
  encryption::Tunnels client_{
      crypto::x25519_generate(rng_), {1, 2, 3, 4, 5, 6, 7, 8}, ShardId{0}, pool_, rng_};
  std::array<CallerOf, kKeys> callers_;
  std::array<PeerId, 4> ids_;
  std::map<Endpoint, uint64_t> in_, out_;
  std::set<Endpoint> confirmed_;
  std::vector<std::vector<uint8_t>> to_helper_;
  std::vector<std::pair<Endpoint, std::vector<uint8_t>>> answers_;
  std::vector<uint8_t> last_;
};

}  // namespace
}  // namespace macrovpn::node

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) macrovpn::node::World({data, size}).run();
  return 0;
}
