// Egress: the way out of a node.  Payloads are handed in for a peer, whole messages for a route; flush()
// seals them layer by layer, each layer of the whole batch at once and in place, until every packet is a
// datagram.
#pragma once
#include <deque>

#include "core/encryption/tunnels.h"
#include "core/node/effects.h"
#include "core/node/masks.h"

namespace macrovpn::node {

class Egress {
 public:
  Egress(encryption::Tunnels& tunnels, MaskTable& masks, PacketPool& pool, Rng& rng)
      : tunnels_(tunnels), masks_(masks), pool_(pool), rng_(rng) {}

  // Here and below packets are taken by reference: each object between is a move and a question more for each packet.
  void payload(PeerRef peer, Packet&& packet) { seal_.push_back({peer, std::move(packet)}); }
  void frame(PeerRef peer, Bytes frame);  // a control frame as a payload of its own
  // The same, after everything else that waits, one after the other.  What is for a near hop has fewer layers and would
  // overtake what was handed in before it for a far one, and a CLOSE must not.
  void frame_last(PeerRef peer, Bytes frame) { last_.push_back({peer, pool_.copy_of(frame)}); }
  // A message of tunnels' or of a build: unmasked, without length field or padding.
  void message(encryption::Outgoing m) { whole_.push_back(std::move(m)); }
  // A finished datagram: masked here, nothing else.
  void datagram(SocketId socket, const Endpoint& to, MaskId mask, Packet&& packet, const IpAddress& local = {});

  void flush(Now now, Effects& fx, std::vector<encryption::Event>& events);
  void rest();  // gives the room of past batches back; nothing waits

 private:
  struct ToSeal {
    PeerRef peer;
    Packet packet;
  };
  void seal_layer(Now now, std::vector<encryption::Event>& events);
  void place(PeerRef peer, const Route& route, Packet&& message);
  void emit(PeerRef peer, const Route& route, Packet&& message);

  encryption::Tunnels& tunnels_;
  MaskTable& masks_;
  PacketPool& pool_;
  Rng& rng_;
  std::vector<ToSeal> seal_, sealing_;
  std::deque<ToSeal> last_;
  std::vector<encryption::Outgoing> whole_, sending_;
  std::vector<encryption::SealJob> jobs_;
  std::vector<Datagram> done_;
};

}  // namespace macrovpn::node
