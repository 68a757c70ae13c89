// The inside of Tunnels, shared by tunnels*.cpp: one file per job.  Nobody else includes this.
#pragma once
#include "core/encryption/allowed_ips.h"
#include "core/encryption/early_data.h"
#include "core/encryption/handshake.h"
#include "core/encryption/index_table.h"
#include "core/encryption/peer_table.h"
#include "core/encryption/rate_limit.h"
#include "core/encryption/tunnels.h"
#include "crypto/x25519.h"
#include "model/caller_key.h"

namespace macrovpn::encryption {

// A verified relay carries the handshakes of many clients.
inline constexpr unsigned kRelayRateFactor = 50;
inline constexpr unsigned kHandshakeBurst = 5;
inline constexpr unsigned kCookieBurst = 250;
// Initiations of one configured peer closer together than this are a flood (as wireguard-go).
inline constexpr Duration kInitiationFlood = 20ms;

struct Tunnels::Impl {
  Impl(const KeyPair& self, const ByteArray<8>& network, ShardId shard, PacketPool& pool, Rng& rng,
       const TunnelLimits& limits, const Common& common);
  ~Impl();

  // ---- tunnels_peers.cpp
  Result<PeerRef, Drop> add_configured(Mono now, const ConfiguredPeer&);
  Result<PeerRef, Drop> add_hop(const HopPeer&);
  void remove(Peer&);
  PeerInfo info(const Peer&) const;
  std::vector<Route> proven_callers(Mono since, size_t most) const;
  void free_session(SessionPtr&);
  void free_pending(Peer&);
  void free_keys(Peer&);
  void check_invariants() const;

  // ---- tunnels_changes.cpp
  Peer* configured(PeerRef) const;  // null if it is no such peer
  void set_identity(const KeyPair&);
  void rekey_static(Peer&);
  ConfiguredPeer configuration(const Peer&) const;
  void send_waiting(Now, Peer&, Out&);
  void pause(Peer&);
  PeerRef sent_to(const Endpoint&, Bytes message) const;
  std::optional<Trace> trace_of(const Peer&) const;
  template <class F>
  void for_each_configured(F f) {
    for (const PeerRef ref : peers.refs()) {
      if (Peer* p = configured(ref)) f(*p);
    }
  }

  // ---- tunnels_initiator.cpp
  enum class Reason : uint8_t { asked, rekey, retry };
  Result<Initiation, Drop> create_initiation(Now, Peer&, Reason);
  // Into `out`, unless there is no route or the last one is younger than REKEY_TIMEOUT.
  void initiate(Now, Peer&, Reason, Out&);
  Drop on_response(Now, const Route& from, Bytes message, Out&);
  Drop on_cookie_reply(Now, const Route& from, Bytes message);
  void become_initiator_session(Now, Peer&, const HandshakeResult&, Out&);

  // ---- tunnels_responder.cpp
  Result<Accepted, Drop> on_initiation(Now, const Caller&, Bytes message, Bytes early, Out&);
  Drop admit(Now, const Caller&, Bytes message, Out&);
  Result<Peer*, Drop> recognise(Now, const Caller&, const PublicKey& key, const Secret<32>& shared,
                                const Tai64n&);
  Result<Peer*, Drop> add_ephemeral(Mono now, const Caller&, const PublicKey& key, const Secret<32>& shared);
  void become_responder_session(Now, Peer&, SessionIndex local, const HandshakeResult&, const Caller&, Out&);
  void open_early(Now, const Caller&, const ReceivedInitiation&, Bytes early, Accepted&);
  CallerKey caller_of(const Caller&) const;
  size_t half_open_share(const Caller&) const;
  void confirm(Mono now, Peer&, const Route& from, Out&);
  bool may_send(PeerRef, size_t datagram_size);

  // ---- tunnels_data.cpp
  struct Work {  // one packet between the passes of a batch
    size_t job;
    Peer* peer;
    Session* session;
    Payload payload;
  };
  void seal_batch(Now, std::span<SealJob>, Out&);
  void open_batch(Now, std::span<OpenJob>, Out&);
  struct Departure {  // packets to one peer that follow each other
    Peer* peer = nullptr;
    Session* session = nullptr;
    size_t packets = 0, bytes = 0;
    Payload payload = Payload::keepalive;
  };
  Drop prepare_seal(Now, SealJob&, Departure&, Out&);
  void frame(Session&, Packet&, size_t padding, crypto::AeadJob&);
  void after_sent(Now, Peer&, const Session&, Payload, size_t bytes, Out&);
  Drop prepare_open(Mono now, const OpenJob&, Work&);
  struct Arrival {  // packets of one session that follow each other
    Peer* peer;
    Session* session;
    const Route* from = nullptr;  // of the last that was good
    size_t bytes = 0;
    Payload payload = Payload::keepalive;
    bool confirmed = false;  // the session became the current one with them
  };
  Drop finish_open(Now, OpenJob&, Payload, Arrival&, Out&);
  void after_received(Now, const Arrival&, Out&);
  Drop deliver(const Peer&, Packet&);
  void note_source(Peer&, const Route& from, Out&);
  bool accepts_from(const Peer&, const Route& from) const;
  void stage(Now, Peer&, Packet, Out&);
  void flush_staged(Now, Peer&, Out&);
  void send_keepalive(Now, Peer&, Out&);
  void send_one(Now, Peer&, Packet, Out&);
  void retire(SessionPtr&);

  // ---- tunnels_timers.cpp
  void on_deadline(Now, Out&);
  void run_configured(Now, Peer&, Out&);
  void run_hop(Now, Peer&, Out&);
  void run_ephemeral(Now, Peer&, Out&);
  Mono deadline_of(const Peer&) const;
  void touch(Peer&);  // after its timers may have moved: wakes no later than needed
  Mono next_deadline() const;

  Drop counted(Drop d) {
    counters[static_cast<size_t>(d)] += d != Drop::staged;
    return d;
  }
  Failure<Drop> refused(Drop d) { return Failure{counted(d)}; }
  bool may_seal(const Session& s, Mono now) const {
    return !s.expired(now) && s.send_counter < limits.reject_after_messages;
  }
  bool has_identity() const { return !self.secret.is_zero(); }
  const KeyPair& keys_for(const Peer& p) const { return p.hop ? p.hop->ours : self; }
  const Secret<32>& psk_of(const Peer& p) const { return p.configured ? p.configured->preshared : no_psk; }

  KeyPair self;
  crypto::DhKey self_dh;       // its secret, ready
  Noise called_noise;          // what every handshake with us starts from
  crypto::DhKey ephemeral_dh;  // holds a key while one answer is written, no longer
  ByteArray<8> network;
  PacketPool& pool;
  Rng& rng;
  TunnelLimits limits;
  ShardId shard;
  Callers* callers;  // none: there are no other shards
  std::map<PublicKey, ShardId> elsewhere;  // configured peers of other shards
  SealWitness* witness;
  bool accept_ephemeral = false;
  Secret<32> no_psk;

  PeerTable peers;
  IndexTable indexes;
  AllowedIps allowed;
  RateLimit rate;
  Shares own_strangers, own_half_open;
  EarlyStore own_early;
  Shares& strangers;  // every ephemeral peer
  Shares& half_open;  // of them, those whose session is not confirmed
  EarlyStore& early_store;
  CookieChecker cookies;
  LoadMeter load;
  TokenBucket cookies_left;
  EarlyData early;
  std::optional<crypto::AeadBatch> own_aead;
  crypto::AeadBatch& aead;
  std::array<uint64_t, static_cast<size_t>(Drop::count_)> counters{};
  std::vector<Event> owed;  // events of calls that have no Out; told at the next deadline, which is at once

  // Scratch of the batches: kept so that nothing is allocated per packet.
  std::vector<Work> work;
  std::vector<Departure> departures;
  std::vector<crypto::AeadJob> jobs;
  std::vector<SessionPtr> retired;  // sessions that a batch replaced while jobs still point to them
};

}  // namespace macrovpn::encryption
