// Route: how a WireGuard message reaches a peer: straight over UDP, or through a leg of another session.
#pragma once
#include "model/ids.h"
#include "model/ip.h"

namespace macrovpn {

struct Route {
  enum class Kind : uint8_t { none, udp, leg };
  Kind kind = Kind::none;
  // udp: from which socket, to (or from) which address, under which header mask.
  SocketId socket;
  MaskId mask;
  Endpoint endpoint;
  // leg: inside the session with `carrier`, with this number in the reserved bytes.
  PeerRef carrier;
  LegNumber leg;
  // udp: the address of ours that was spoken to, so that a host with several answers from the right one ("sticky"
  // source); unspecified: whichever the system takes.
  IpAddress local{};

  static Route udp(SocketId socket, const Endpoint& endpoint, MaskId mask, const IpAddress& local = {}) {
    return {Kind::udp, socket, mask, endpoint, {}, {}, local};
  }
  static Route through(PeerRef carrier, LegNumber leg) { return {Kind::leg, {}, {}, {}, carrier, leg, {}}; }
  auto operator<=>(const Route&) const = default;
};

}  // namespace macrovpn
