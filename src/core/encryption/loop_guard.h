// LoopGuard: finds the packets of a device that are the device's own datagrams, come back because their way
// leads into the tunnel that made them.
//
// A tunnel in a tunnel is fine: datagrams to one peer may travel inside the session with another.  A circle
// is not: each round wraps them once more, and where they no longer fit the kernel cuts them in two, so that
// one packet becomes many, for ever.  Stock devices leave that to whoever sets the routes (wg-quick's
// fwmark).  We cut the circle at its first round: a datagram that we sent to peer P, and that would go into
// the session with Q, is dropped if following "the peer through whom the endpoint is reached" from Q on leads
// to P again.
//
// It costs ordinary packets a look at their protocol and source port.
#pragma once
#include "core/encryption/tunnels.h"

namespace macrovpn::encryption {

// What a guard asks about peers that other shards of its device have (Trace).  Only transport messages have to be known: an
// initiation that takes a circle is wrapped in one at its first round.
class OtherShards {
 public:
  virtual ~OtherShards() = default;
  virtual PeerRef sent_to(const Endpoint&, Bytes message) const = 0;
  virtual std::optional<Endpoint> endpoint_of(PeerRef) const = 0;
};

class LoopGuard {
 public:
  // Both outlive it.  others: none if there are no other shards.
  explicit LoopGuard(const Tunnels& tunnels, const OtherShards* others = nullptr) : tunnels_(tunnels), others_(others) {}
  void set_listen_port(uint16_t port) { port_ = port; }
  // Whether a packet of the device must be dropped.  Packets in the order of arrival: fragments follow their
  // first.
  bool is_loop(Bytes ip_packet);

 private:
  struct View;
  bool circles(PeerRef) const;
  PeerRef sent_to(const Endpoint&, Bytes message) const;
  std::optional<Endpoint> endpoint_of(PeerRef) const;
  const Tunnels& tunnels_;
  const OtherShards* others_;
  uint16_t port_ = 0;
  // The first fragment that was dropped last; the others of its datagram have the same.
  IpAddress cut_destination_;
  uint32_t cut_id_ = 0;
  bool cut_ = false;
};

}  // namespace macrovpn::encryption
