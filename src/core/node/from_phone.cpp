// Phones and the circuits of their groups (phone_side.h).
#include <algorithm>

#include "core/node/node.h"

namespace macrovpn::node {

Result<TunId> Node::add_phone(Now now, const Phone& phone, Effects& fx) {
  if (!client_) return fail("this daemon only relays for others; start `macrovpn daemon` for devices of your own");
  TRY(const TunId tun, phones_.add(now.mono, phone));
  TRY_VOID(client_->attach(now, tun, Slots::own_while_used, fx));
  finish(now, fx);
  return tun;
}

void Node::remove_phone(Now now, TunId tun, Effects& fx) {
  if (phones_.peer_of(tun).value == 0) return;
  phones_.remove(tun);
  client_->detach(now, tun);
  finish(now, fx);
}

// Its session has checked that this is an IP packet from the inside address.
void Node::on_phone_packet(Now now, PeerRef peer, Packet&& packet, Effects& fx) {
  const TunId tun = phones_.tun_of(peer);
  if (tun.value == 0 || packet.size() == 0) return;  // a keepalive
  client_->on_tun_packets(now, tun, std::span(&packet, 1), fx);
}

void Node::give_to_phones(Effects& fx) {
  if (phones_.empty()) return;
  for (TunPacket& p : fx.tun_packets) {
    if (const PeerRef peer = phones_.peer_of(p.tun); peer.value != 0) egress_.payload(peer, std::move(p.packet));
  }
  std::erase_if(fx.tun_packets, [](const TunPacket& p) { return !p.packet; });
}

}  // namespace macrovpn::node
