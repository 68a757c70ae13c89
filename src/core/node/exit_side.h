// ExitSide: leases, and the packets of sessions that hold one.  What it learns: the relay before it and where
// the traffic goes; never who sends it.
//
// A lease stays with the shard that granted it, since its connections end in that shard's network, and so does a session, whose
// keys are there.  A client that comes back on another way may come to another shard (k) than its lease's (j):
//
//   session ── k: opens, counts ──outward──> j: rewrites ── network of j
//   session <── k: seals <──inward, frame── j: counts, rewrites <── network of j
//
// k knows the lease by its id, which names j (routing::shard_of), and asks j, which alone decides; what j holds against the session
// is its PeerRef, which names k.
#pragma once
#include <map>

#include "core/node/shared.h"
#include "core/routing/lease_table.h"

namespace macrovpn::node {

struct ExitCounters {
  uint64_t packets_out = 0, packets_in = 0, refused = 0, without_lease = 0;
};

class ExitSide {
 public:
  explicit ExitSide(Shared s)
      : s_(s),
        leases_(s.rng, s.config.network.id, s.config.leases, s.config.place, s.config.commons.leases) {}

  enum class When : uint8_t { at_confirmation, now };
  // A LEASE, from early data or (when: now) from a confirmed session.  h1: of that session's handshake.
  void on_lease(Now now, PeerRef session, const CallerKey& caller, Bytes body, const crypto::Hash32& h1, When when, Effects& fx);
  void on_release(Now now, PeerRef session, Bytes body, Effects& fx);
  void session_confirmed(Now now, PeerRef session, Effects& fx);
  void session_gone(Now now, PeerRef session, Effects& fx);
  // An IP packet out of a session.
  void on_packet(Now now, PeerRef session, Packet&& packet, Effects& fx);
  // IP packets for private lease addresses, from the exit's network.
  void on_exit_packets(Now now, std::span<Packet> packets, Effects& fx);

  // ---- exit_elsewhere.cpp: from other shards.  A session of theirs wants a lease of ours:
  void asked_from_elsewhere(const ShardNote& note, Bytes body, Effects& fx);
  void take_effect(Now now, PeerRef session, Effects& fx);  // also for sessions of our own
  void to_private(PeerRef session, Packet&& packet, Effects& fx);
  void gone_elsewhere(Now now, PeerRef session) { leases_.session_gone(now.mono, session); }
  // A session of ours got a lease of theirs.
  void taken_elsewhere(Now now, PeerRef session, ShardId owner, Effects& fx);
  // Every lease is forgotten.
  void end_all(Now now, Effects& fx);

  Mono next_deadline() const { return leases_.next_deadline(); }
  void on_deadline(Now now, Effects& fx);
  size_t leases() const { return leases_.size(); }
  size_t sessions_elsewhere() const { return elsewhere_.size(); }  // that have dealt with leases of other shards
  const ExitCounters& counters() const { return counters_; }
  void check_invariants() const { leases_.check_invariants(); }

 private:
  std::optional<routing::LeaseTable::Taken> held_already(PeerRef session, const routing::LeaseFrame& f) const;
  void repeat(PeerRef session, routing::LeaseTable::Taken held, uint16_t mtu, Effects& fx);
  void grant(PeerRef session, const routing::LeaseTable::Taken& t, Effects& fx);
  void refuse(PeerRef session, routing::ErrorCode code, Effects& fx);
  void send_frame(PeerRef session, Bytes frame, Effects& fx);  // wherever it is
  bool rewrite(PeerRef session, Packet& packet);

  // exit_elsewhere.cpp
  struct Elsewhere {
    uint16_t told = 0;             // the shards that know of the session, a bit each
    std::optional<ShardId> asked;  // whose lease it asked for, until it is confirmed
    std::optional<ShardId> holds;  // whose lease it holds
  };
  bool is_ours(PeerRef session) const { return shard_of(session) == s_.config.place.shard; }
  std::optional<ShardId> owner_elsewhere(PeerRef session, const routing::LeaseFrame&) const;
  ShardMessage message(ShardId to, ShardNote::Kind, PeerRef session) const;
  ShardMessage message(ShardId to, ShardNote::Kind, PeerRef session, Bytes body) const;
  void ask_elsewhere(ShardId owner, PeerRef session, const CallerKey&, Bytes body, const crypto::Hash32& h1, Effects& fx);
  void let_go_elsewhere(PeerRef session, Effects& fx);

  Shared s_;
  routing::LeaseTable leases_;
  std::map<PeerRef, Elsewhere> elsewhere_;  // sessions of ours; they go with them
  ExitCounters counters_;
};

}  // namespace macrovpn::node
