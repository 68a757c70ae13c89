// Phones: computers of the user's own with a stock WireGuard app, that go on through this node's circuits
// (`macrovpn device`).
//
// A phone is a configured WireGuard peer and gets exactly stock behaviour: plain datagrams, no early data.  Its packets
// are those of an isolation group of its own, as if it were a program's packet device; there is no device, so what comes
// back is sealed into its session instead of being written (from_phone.cpp).
//
//   rules   every phone has the inside address that everybody has, and sends from no other.  Its packets go into its
//           circuit or nowhere: while there is none they wait, the oldest go.  Nothing is routed from phone to phone
//   group   made by the first packet, forgotten ten minutes after the last one unless a TCP connection is open
//   learns  the phone's network sees stock WireGuard with this node; this node sees what a WireGuard server sees;
//           exits learn no more than that it may be a phone: its packets are smaller
#pragma once
#include <map>

#include "core/encryption/tunnels.h"
#include "core/node/config.h"
#include "model/ids.h"

namespace macrovpn::node {

inline constexpr size_t kMaxPhones = 16;
// The socket that phones call; apart from the others, so that it comes and goes with the phones.
inline constexpr SocketId kPhoneSocket{255};
// What nearly every circuit carries, whatever its number of hops, and IPv6's least: a phone's configuration stays as it was
// made.
inline constexpr uint16_t kPhoneMtu = kLeastV6Mtu;

struct Phone {
  PublicKey key;
  Secret<32> preshared;
};

class PhoneSide {
 public:
  explicit PhoneSide(encryption::Tunnels& tunnels) : tunnels_(tunnels) {}

  // The TunId names the phone where others name packet devices; no device has it, nor had a phone before.
  Result<TunId> add(Mono now, const Phone& phone);
  void remove(TunId tun);  // its sessions end; unknown ones are ignored

  bool empty() const { return peer_of_.empty(); }
  size_t size() const { return peer_of_.size(); }
  PeerRef peer_of(TunId tun) const;  // nobody: not a phone
  TunId tun_of(PeerRef peer) const;  // 0: not a phone
  void check_invariants() const;

 private:
  encryption::Tunnels& tunnels_;
  std::map<TunId, PeerRef> peer_of_;
  std::map<PeerRef, TunId> tun_of_;
  uint32_t next_ = 0x8000'0000;  // devices count from 1
};

}  // namespace macrovpn::node
