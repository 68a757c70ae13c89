#include "core/node/phone_side.h"

#include "core/routing/address_rewrite.h"

namespace macrovpn::node {

Result<TunId> PhoneSide::add(Mono now, const Phone& phone) {
  if (size() >= kMaxPhones)
    return fail("there are " + std::to_string(kMaxPhones) + " devices already; remove one with `macrovpn device remove`");
  if (phone.key == tunnels_.public_key()) return fail("its key is that of this node; make a new one");
  const auto& inside = routing::InsideAddresses::get();
  encryption::ConfiguredPeer peer;
  peer.key = phone.key;
  peer.preshared = phone.preshared;
  peer.mtu = kPhoneMtu;
  peer.shared_sources = {inside.client4, inside.client6};
  const auto ref = tunnels_.add_configured(now, peer);
  if (!ref) return fail("its key is that of another device; make a new one");
  const TunId tun{next_++};
  peer_of_[tun] = *ref;
  tun_of_[*ref] = tun;
  return tun;
}

void PhoneSide::remove(TunId tun) {
  const auto it = peer_of_.find(tun);
  if (it == peer_of_.end()) return;
  tunnels_.remove(it->second);
  tun_of_.erase(it->second);
  peer_of_.erase(it);
}

PeerRef PhoneSide::peer_of(TunId tun) const {
  const auto it = peer_of_.find(tun);
  return it == peer_of_.end() ? PeerRef{} : it->second;
}

TunId PhoneSide::tun_of(PeerRef peer) const {
  const auto it = tun_of_.find(peer);
  return it == tun_of_.end() ? TunId{} : it->second;
}

void PhoneSide::check_invariants() const {
  MV_ASSERT(size() <= kMaxPhones && peer_of_.size() == tun_of_.size());
  for (const auto& [tun, peer] : peer_of_) {
    MV_ASSERT(tun_of(peer) == tun && tunnels_.kind_of(peer) == encryption::PeerKind::configured);
  }
}

}  // namespace macrovpn::node
