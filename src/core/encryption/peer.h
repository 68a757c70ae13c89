// Peer: one WireGuard relation.  What only one kind needs sits behind a pointer, since a relay holds very
// many ephemeral peers (peer and two sessions stay under 1 KiB without the replay windows).
#pragma once
#include <deque>
#include <memory>
#include <optional>

#include "base/packet.h"
#include "model/caller_key.h"
#include "core/encryption/timers.h"
#include "core/encryption/tunnels.h"

namespace macrovpn::encryption {

struct ConfiguredState {
  ConfiguredState(const Secret<32>& psk, Duration persistent, size_t device_mtu, std::vector<IpAddress> sources)
      : preshared(psk), mtu(device_mtu), shared_sources(std::move(sources)), timers(persistent) {}
  Secret<32> preshared;
  size_t mtu;
  std::vector<IpAddress> shared_sources;
  StockTimers timers;
  Tai64n last_sent{};
  std::deque<Packet> staged;  // oldest first; at most TunnelLimits::staged_packets
  Mono last_initiation_received = kLongAgo;
};

struct HopState {
  explicit HopState(const KeyPair& k) : ours(k) {}
  KeyPair ours;
  HopTimers timers;
  uint64_t initiations = 0;
};

struct EphemeralState {
  bool confirmed = false;    // sent an authenticated packet at least once
  bool fixed_route = false;  // came through a verified relay: never roams
  CallerKey caller;          // whose share of the table it takes
  size_t budget = 0;         // bytes that we may still send before confirmation
  Mono half_open_until = kNever;
};

struct Peer {
  PeerKind kind = PeerKind::ephemeral;
  PeerRef ref;
  PublicKey key;
  Secret<32> static_shared;  // DH(our static, their static)
  Route route;

  Sessions sessions;
  std::unique_ptr<PendingInitiation> pending;
  Tai64n greatest_timestamp{};  // received from this static key
  Cookie cookie;                // given to us by this peer

  std::unique_ptr<ConfiguredState> configured;
  std::unique_ptr<HopState> hop;
  EphemeralState ephemeral;

  crypto::Hash32 h1{}, handshake_hash{};  // of the newest handshake
  crypto::Hash32 pending_h1{};
  bool was_up = false;  // had a session before
  Mono last_handshake = kLongAgo, last_received = kLongAgo;
  uint64_t rx_bytes = 0, tx_bytes = 0;
  Mono scheduled = kNever;  // its entry in the deadline queue

  bool half_open() const { return kind == PeerKind::ephemeral && !ephemeral.confirmed; }
};

}  // namespace macrovpn::encryption
