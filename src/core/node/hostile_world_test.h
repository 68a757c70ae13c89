// Tests only: a world with somebody hostile in it, who holds the directory (so he can take header masks off
// and put them on), sees and forges every datagram, and has keys of his own.
#pragma once
#include "core/encryption/cookie.h"
#include "core/encryption/early_data.h"
#include "core/encryption/handshake.h"
#include "core/node/node_world_test.h"
#include "crypto/x25519.h"

namespace macrovpn::node {

using Buffer = std::vector<uint8_t>;

inline constexpr size_t kEphemeralAt = 8, kStaticAt = 40, kTimestampAt = 88, kMac1At = 116, kMac2At = 132;
inline constexpr size_t kLengthAt = 148, kEarlyAt = 150;

struct HostileNet : SmallNet {
  explicit HostileNet(const ClientConfig& client_config = {.spare_circuits = 0}, uint64_t seed = 1, int exits = 2)
      : SmallNet(client_config, seed, {4, exits}) {}
  Endpoint listens(const Host& h) const { return {h.address, 51820}; }
  Endpoint calls_from(const Host& h) const { return {h.address, 51821}; }
  PeerId id_of(const Host& h) const { return discovery::peer_id_of(h.config.identity->pub); }

  encryption::MaskKey mask_of(const Host& called) const {
    return {network.id.bytes, called.config.wireguard.pub};
  }
  // A handshake datagram for `called` without its mask, and with it.
  Buffer bare(const Host& called, Bytes datagram) const {
    Buffer out(datagram.begin(), datagram.end());
    MV_ASSERT(mask_of(called).unmask(out));
    return out;
  }
  Buffer masked(const Host& called, Bytes datagram) const {
    Buffer out(datagram.begin(), datagram.end());
    mask_of(called).mask_handshake(out);
    return out;
  }
  // What a caller can always do again, since it needs public keys only.
  static void fix_mac1(const Host& called, Buffer& datagram) {
    encryption::write_macs(MutBytes(datagram).first(encryption::kInitiationSize), called.config.wireguard.pub,
                           nullptr);
  }

  // The first datagram of a fresh build of `who`, as the wire had it; it does not arrive.
  struct Build {
    Host* to = nullptr;
    Buffer datagram;
  };
  Build catch_build(Host& who, TunId tun) {
    Build out;
    const auto old = drop;
    drop = [&](const Flight& f) {
      if (f.from == &who && out.to == nullptr) {
        out = {f.to, f.bytes};
        out.datagram.pop_back();
      }
      return true;
    };
    attach(who, tun);
    run_for(1ms);
    detach(who, tun);
    drop = old;
    run_for(10ms);
    return out;
  }

  // Everything that was refused, whatever the reason.
  static uint64_t refusals(const Host& h) {
    const Node& n = *h.node;
    const NodeCounters& c = n.counters();
    uint64_t sum = c.unknown + c.malformed + c.unknown_relay + c.bad_trailer + c.replayed_trailer +
                   c.too_deep + c.bad_payload;
    for (size_t i = 1; i < static_cast<size_t>(encryption::Drop::count_); i++)
      sum += n.tunnels().count(static_cast<encryption::Drop>(i));
    if (n.relay() != nullptr) sum += n.relay()->counters().dropped;
    return sum;
  }
  static uint64_t count(const Host& h, encryption::Drop d) { return h.node->tunnels().count(d); }
  static uint64_t extended(const Host& h) { return h.node->relay()->counters().extended; }
  using TestWorld::count;
};

// Somebody who calls relays with keys of his own and any source address.
class Stranger {
 public:
  explicit Stranger(uint64_t seed)
      : rng_(seed),
        tunnels_(crypto::x25519_generate(rng_), {1, 2, 3, 4, 5, 6, 7, 8}, ShardId{0}, pool_, rng_) {}

  struct Call {
    PeerRef peer;
    encryption::Initiation initiation;
  };
  // A fresh static key each time.
  Call call(Now now, const TestWorld::Host& relay) {
    const KeyPair ours = crypto::x25519_generate(rng_);
    const auto peer = tunnels_.add_hop(now.mono, {ours, relay.config.wireguard.pub,
                                                  Route::udp(kListenSocket, {relay.address, 51820}, kPlain)});
    const auto made = tunnels_.start_handshake(now, *peer);
    return {*peer, *made};
  }
  // The next initiation under the same key.
  Call again(Now now, const Call& c) { return {c.peer, *tunnels_.start_handshake(now, c.peer)}; }
  Buffer early(Now now, const Call& c, const PublicKey& prekey, Bytes plain) {
    return *tunnels_.seal_early(now.wall, c.peer, prekey, plain);
  }
  void forget(const Call& c) { tunnels_.remove(c.peer); }
  // message | length | early | padding up to `total`
  Buffer datagram(const Call& c, Bytes early_data, size_t total = 0) {
    Packet p = pool_.copy_of(c.initiation.message);
    encryption::append_early(p, early_data);
    encryption::append_padding(p, rng_, std::min(total, encryption::kMaxHandshakeDatagram));
    return {p.bytes().begin(), p.bytes().end()};
  }
  Rng& rng() { return rng_; }

 private:
  SeededRng rng_;
  PacketPool pool_;
  encryption::Tunnels tunnels_;
};

}  // namespace macrovpn::node
