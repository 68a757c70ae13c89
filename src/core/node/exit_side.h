// ExitSide: leases, and the packets of sessions that hold one.  What it learns: the relay before it and where
// the traffic goes; never who sends it.
#pragma once
#include "core/node/shared.h"
#include "core/routing/lease_table.h"

namespace macrovpn::node {

struct ExitCounters {
  uint64_t packets_out = 0, packets_in = 0, refused = 0, without_lease = 0;
};

class ExitSide {
 public:
  explicit ExitSide(Shared s) : s_(s), leases_(s.rng, s.config.network.id, s.config.leases) {}

  enum class When : uint8_t { at_confirmation, now };
  // A LEASE, from early data or (when: now) from a confirmed session.  h1: of that session's handshake.
  void on_lease(Now now, PeerRef session, const CallerKey& caller, Bytes body, const crypto::Hash32& h1, When when, Effects& fx);
  void on_release(Now now, PeerRef session, Bytes body);
  void session_confirmed(Now now, PeerRef session, Effects& fx);
  void session_gone(Now now, PeerRef session);
  // An IP packet out of a session.
  void on_packet(Now now, PeerRef session, Packet packet, Effects& fx);
  // IP packets for private lease addresses, from the exit's network.
  void on_exit_packets(Now now, std::span<Packet> packets);
  // Every lease is forgotten.
  void end_all(Now now, Effects& fx);

  Mono next_deadline() const { return leases_.next_deadline(); }
  void on_deadline(Now now, Effects& fx);
  size_t leases() const { return leases_.size(); }
  const ExitCounters& counters() const { return counters_; }
  void check_invariants() const { leases_.check_invariants(); }

 private:
  void repeat(PeerRef session, routing::LeaseTable::Taken held, uint16_t mtu, Effects& fx);
  void grant(PeerRef session, const routing::LeaseTable::Taken& t);
  void refuse(PeerRef session, routing::ErrorCode code);
  Shared s_;
  routing::LeaseTable leases_;
  ExitCounters counters_;
};

}  // namespace macrovpn::node
