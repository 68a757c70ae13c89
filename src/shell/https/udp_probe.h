// A question to a relay whether UDP reaches it and comes back: a STUN Binding request (RFC 8489) under the relay's header mask, as every
// relay answers (docs/protocol.md).  It changes nothing of any session.
#pragma once
#include "base/packet.h"
#include "base/rng.h"
#include "core/encryption/header_mask.h"
#include "model/network.h"

namespace macrovpn::shell::https {

class UdpProbe {
 public:
  UdpProbe(const NetworkId& network, const PublicKey& relay) : mask_(network.bytes, relay) {}
  // A new question; answers to older ones are none any more.
  Packet ask(PacketPool& pool, Rng& rng);
  bool is_answer(Bytes datagram) const;

 private:
  encryption::MaskKey mask_;
  ByteArray<12> id_{};
  bool asked_ = false;
};

}  // namespace macrovpn::shell::https
