// Contact: how a relay is called, and who has to answer.  Less than a descriptor: what a seed list, an invite or an expired descriptor
// still says.  It is believed only as far as its key answers.
#pragma once
#include <vector>

#include "model/relay.h"

namespace macrovpn {

struct Contact {
  PeerId id;            // zeros: not known
  PublicKey wireguard;
  std::vector<Endpoint> endpoints;  // 1..4
  bool operator==(const Contact&) const = default;
};

inline Contact contact_of(const RelayInfo& r) { return {r.id, r.wireguard, r.endpoints}; }

}  // namespace macrovpn
