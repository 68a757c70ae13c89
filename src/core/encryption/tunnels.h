// Tunnels: every WireGuard relation of one node (one shard of it), without I/O.
//
// Three kinds of peer:
//   configured  a stock WireGuard peer that the user named.  Behaves exactly as the whitepaper says: PSK,
//   cookies,
//               allowed IPs, roaming, all timers, staged packets, passive and persistent keepalive.
//   hop         we are the client of an overlay relay.  We start every handshake; rekey at a random 90-120 s;
//   the
//               first handshake is carried by whoever builds the circuit (start_handshake()) and never
//               retried here. No passive keepalive: routing pings.  Own static key per hop.  TAI64N is a
//               constant plus a count.
//   ephemeral   an unknown static key that called us.  Bounded table; half-open at most 10 s; we never
//   initiate,
//               queue nothing, send no keepalive.  Lives as long as a keypair lives.
//
// The caller (core/node) unmasks datagrams, cuts types 1-3 to size, and hands messages in; what comes out is
// in Out: whole unmasked messages with the Route they should take, and events.  A message whose route is a
// leg is to be put into the carrier's session by the caller.  Data packets go in batches and in place.
//
// Errors: hostile input yields a Drop, counted in counters(); nothing here throws or asserts on it.
// Source: WireGuard whitepaper (Donenfeld, 2020-06-01), https://www.wireguard.com/papers/wireguard.pdf;
// DESIGN of ephemeral peers and early data: docs/protocol.md.
#pragma once
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "base/packet.h"
#include "base/result.h"
#include "base/rng.h"
#include "base/time.h"
#include "core/encryption/common.h"
#include "core/encryption/drop.h"
#include "core/encryption/messages.h"
#include "crypto/hash.h"
#include "model/keys.h"
#include "model/route.h"

namespace macrovpn::encryption {

enum class PeerKind : uint8_t { configured, hop, ephemeral };

struct ConfiguredPeer {
  PublicKey key;
  Secret<32> preshared;  // zero: none
  Route route;           // none: learnt from the peer's first message
  std::vector<IpPrefix> allowed_ips;
  Duration persistent_keepalive = Duration::zero();  // zero: off
  // Of the device that the packets come from: padding makes none longer than this, as stock peers have it.
  // Over IPv6 the usual 1420 fills a link of 1500 to the last byte.
  size_t mtu = 1420;
  // It may send from these too, and so may other peers: nobody is routed to by them.  For peers that all have the
  // same inside address and are told apart by who they are.
  std::vector<IpAddress> shared_sources = {};
};

struct HopPeer {
  KeyPair ours;   // fresh for each add_hop(): the count in its timestamps starts anew
  PublicKey key;  // of the relay
  Route route;
};

struct TunnelLimits {
  size_t ephemeral_peers = 100'000;
  size_t ephemeral_per_source = 4'096;  // per IPv4 address or IPv6 /64: many people may share one
  size_t ephemeral_per_relay = 25'000;  // for a caller whose trailer verified
  size_t half_open = 4'096;            // ephemeral peers whose session is not confirmed yet
  size_t half_open_per_source = 64;    // per IPv4 address or IPv6 /64
  size_t half_open_per_relay = 1'024;  // for a caller whose trailer verified
  size_t configured_peers = 4'096;
  size_t hop_peers = 4'096;
  size_t staged_packets = 128;  // per configured peer without a session
  unsigned handshakes_per_second =
      20;  // per source, burst 5 (as wireguard-go); a verified relay has 50 times that
  unsigned load_threshold = 2'000;  // initiations in one second above which cookies are demanded
  unsigned cookies_per_second = 25'000;  // more callers than that are not even told that they need one
  // Of one session (whitepaper §6.1).  Tests set less.
  uint64_t rekey_after_messages = uint64_t{1} << 60;
  uint64_t reject_after_messages = UINT64_MAX - (uint64_t{1} << 13);
};

// A whole message to be sent.
struct Outgoing {
  PeerRef peer;  // nobody for a cookie reply to a stranger
  Route route;
  Packet packet;
};
// As initiator: response received; the keepalive that confirms the keys to the responder is in Out.
// As responder: first packet received.
struct SessionUp {
  PeerRef peer;
  bool first;  // not a rekey
};
struct HandshakeFailed {  // no answer for REKEY_ATTEMPT_TIME (90 s)
  PeerRef peer;
};
struct PeerGone {  // an ephemeral peer lapsed: forget its legs and lease
  PeerRef peer;
};
struct PeerMoved {  // a configured peer speaks from another endpoint than before
  PeerRef peer;
};
using Event = std::variant<SessionUp, HandshakeFailed, PeerGone, PeerMoved>;

struct Out {
  std::vector<Outgoing> messages;
  std::vector<Event> events;
};

struct Initiation {
  ByteArray<kInitiationSize> message;  // mac1 set; mac2 zero unless we hold a cookie
  crypto::Hash32 h1;                   // the handshake hash after it
};

// Who sent an initiation, as far as the caller could verify it.
struct Caller {
  // Who is answered there: a port of stock peers is none for strangers, and theirs none for it.
  enum class Who : uint8_t { anybody, configured, strangers };
  Route from;                            // always udp
  size_t datagram_size = 0;              // what it cost the sender: bounds what we answer before confirmation
  std::optional<PeerId> verified_relay;  // the trailer's MAC verified
  bool handed_over = false;              // by another shard, which has let it in already
  Who who = Who::anybody;                // others are unknown peers
};

struct Accepted {
  // Its caller belongs to that shard of ours, and nothing was done here: hand it over.  A configured peer's (keep_elsewhere) is not
  // proven to be his yet.
  std::optional<ShardId> elsewhere;
  PeerRef peer;
  bool is_new = false;               // an ephemeral peer seen for the first time
  crypto::Hash32 h1{};               // of this very initiation (leases are resumed under it)
  Drop early = Drop::none;           // why there is no early plaintext, where some was sent
  std::vector<uint8_t> early_plain;  // slot number already checked and cut off
};

struct SealJob {
  PeerRef peer;
  Packet* packet = nullptr;  // payload in; whole transport message out, padded with zeros to 0 mod 16
  Route route{};             // out: where it goes
  Drop result = Drop::none;
};
struct OpenJob {
  Packet* packet = nullptr;  // whole transport message in; payload (with padding) out, empty for a keepalive
  Route from{};
  PeerRef peer{};  // out
  Drop result = Drop::none;
};

// By what our own transport messages to a configured peer are known outside: where they go, and the receiver indexes of its
// sessions (0: none).
struct Trace {
  Endpoint endpoint;
  std::array<SessionIndex, 2> indexes{};
};

struct PeerInfo {
  PeerKind kind = PeerKind::ephemeral;
  PublicKey key;
  PublicKey our_key;
  Route route;
  bool established = false;  // has a keypair that may carry user data
  crypto::Hash32 h1{};       // of the newest handshake, and its final hash
  crypto::Hash32 handshake_hash{};
  Mono last_handshake = kLongAgo;
  Mono last_received = kLongAgo;
  uint64_t rx_bytes = 0, tx_bytes = 0;
};

class Tunnels {
 public:
  // `network_tag` enters the early-data key (docs/protocol.md).  pool and rng must outlive this.
  Tunnels(const KeyPair& self, const ByteArray<8>& network_tag, ShardId shard, PacketPool& pool, Rng& rng,
          const TunnelLimits& limits = {}, const Common& common = {});
  ~Tunnels();
  Tunnels(Tunnels&&) = delete;

  const PublicKey& public_key() const;
  // Another static key of our own; a zero secret: none, and until there is one nobody is called or answered.
  // Configured peers stay, but their sessions go; one whose key is now our own is removed, as are all
  // ephemeral peers.  Hops have keys of their own and notice nothing.
  void set_identity(const KeyPair&);
  // Accept static keys that were not configured (relays do; a plain WireGuard device does not).  Off at
  // first.
  void accept_ephemeral_peers(bool);

  // ---- peers
  Result<PeerRef, Drop> add_configured(Mono now, const ConfiguredPeer&);
  Result<PeerRef, Drop> add_hop(Mono now, const HopPeer&);
  void remove(PeerRef);  // keys are wiped; unknown refs are ignored
  std::optional<PeerInfo> info(PeerRef) const;
  std::optional<PeerKind> kind_of(PeerRef) const;  // for each packet: info() copies much
  std::vector<PeerRef> peers() const;  // in ref order
  // Longest-prefix match over the allowed IPs of configured peers, other shards' too (allow()); nobody if none.
  PeerRef route_to(const IpAddress& inner_destination) const;

  // ---- changes to a configured peer (others and unknown refs are ignored).  Its session goes on.
  std::optional<PeerRef> find_configured(const PublicKey&) const;
  std::optional<ConfiguredPeer> configuration(PeerRef) const;  // as it is now; the route is where it was last
  void set_preshared(PeerRef, const Secret<32>&);              // from the next handshake on
  void set_endpoint(Now, PeerRef, const Route&, Out&);         // what waited for a route goes now
  void set_persistent_keepalive(Mono now, PeerRef, Duration);  // zero: off
  bool allow(PeerRef, const IpPrefix&);                        // false: the table is full
  void disallow(PeerRef, const IpPrefix&);
  void disallow_all(PeerRef);
  // Shards whose configured peers make one device are each told the allowed IPs of all of them, by these three: whose an address
  // is depends on the longest prefix of all, also when a packet's source is judged.

  // Configured peers of another shard: their initiations, where they come to this one, are its (Accepted::elsewhere).
  void keep_elsewhere(const PublicKey&, ShardId);
  void forget_elsewhere(const PublicKey&);
  // Of the device that the packets come from (ConfiguredPeer::mtu), for all peers.
  void set_mtu(size_t);
  // The device went down: keys, timers and what was staged go, of all configured peers.  It came up: peers with a
  // persistent keepalive are called.
  void pause_configured();
  void resume_configured(Mono now);

  // Which configured peer we sent this message to, a moment ago, at this address; nobody if it is not ours.
  // Only the first eight bytes are looked at.  For finding out that our own datagrams come back (loop_guard.h).
  PeerRef sent_to(const Endpoint&, Bytes message) const;
  std::optional<Trace> trace_of(PeerRef) const;  // of a configured peer whose endpoint is known

  // ---- prekeys (relays).  The ring keeps the newest two, each for 36 h, in memory only.  Shards have one ring in common: the
  // first of them looks after it.
  PublicKey renew_prekey(Now);
  bool needs_prekey(Now);  // none is usable: never made, all expired, or erased because the wall clock jumped
  bool owns_index(SessionIndex) const;  // a session or pending handshake of ours: looked up before legs

  // ---- initiator
  // Starts a handshake with a hop or configured peer now.  The message is returned, not put in Out.  After a
  // cookie reply to a hop's first one, call it again: the new message proves our address.
  Result<Initiation, Drop> start_handshake(Now, PeerRef);
  // Seals early data for the relay called by the pending initiation of `peer`: slot number and `plain`.
  // Returns the ciphertext with tag: 4 + plain.size() + 16 bytes.
  Result<std::vector<uint8_t>, Drop> seal_early(Wall wall, PeerRef, const PublicKey& prekey, Bytes plain);

  // ---- messages of types 1-3.  `message` is exactly 148, 92 or 64 bytes with zero reserved bytes.
  // On acceptance the response is the first message appended to out.
  Result<Accepted, Drop> on_initiation(Now, const Caller&, Bytes message, Bytes early, Out&);
  Drop on_response(Now, const Route& from, Bytes message, Out&);
  Drop on_cookie_reply(Now, const Route& from, Bytes message);

  // ---- data
  // An ephemeral peer that is not confirmed may be sent to (its caller must call may_send() for each
  // datagram); hops and configured peers only once established.
  void seal_batch(Now, std::span<SealJob>, Out&);
  void open_batch(Now, std::span<OpenJob>, Out&);
  // Anti-amplification: may a datagram of this size go to the peer?  Always true once it is confirmed;
  // before, the size is charged against what the caller sent.
  bool may_send(PeerRef, size_t datagram_size);

  // ---- time
  Mono next_deadline() const;
  void on_deadline(Now, Out&);

  // Whether callers must prove their address first (a flood).
  bool under_load(Mono now) const;
  // Where authenticated packets came from since `since`, those that sent most first; at most `most`.  For shells
  // that can keep their datagrams apart from a flood's.
  std::vector<Route> proven_callers(Mono since, size_t most) const;

  uint64_t count(Drop) const;
  size_t ephemeral_count() const;
  void rest();  // gives the room of past batches back, for a node that has nothing to carry
  void check_invariants() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace macrovpn::encryption
