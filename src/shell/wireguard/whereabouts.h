// Whereabouts: where the configured peers of all workers of a device are, and by which indexes they know our sessions.  With it a
// worker finds loops that lead through sessions of others (core/encryption/loop_guard.h).
//
// Behind a lock: each worker writes at a handshake and when a peer moves, and reads for packets that look like our own datagrams.
// Others never come here.
#pragma once
#include <map>
#include <mutex>

#include "core/encryption/loop_guard.h"

namespace macrovpn::shell {

class Whereabouts final : public encryption::OtherShards {
 public:
  void set(PeerRef, const encryption::Trace&);
  void forget(PeerRef);
  PeerRef sent_to(const Endpoint&, Bytes message) const override;
  std::optional<Endpoint> endpoint_of(PeerRef) const override;
  size_t size() const;

 private:
  void forget_locked(PeerRef);

  mutable std::mutex mutex_;
  std::map<PeerRef, encryption::Trace> traces_;
  std::multimap<Endpoint, PeerRef> at_;
};

}  // namespace macrovpn::shell
