// Directory: the relays that this node knows, by id.  Everything in it was verified (descriptor.h) before it
// came in; there is no lookup over the network, so nobody learns whom a client considers.
//
// Highest signing time wins; what has expired is not found any more, but stays listed until expire().
#pragma once
#include <map>
#include <optional>

#include "core/discovery/descriptor.h"
#include "model/relay.h"

namespace macrovpn::discovery {

inline constexpr size_t kMaxRelays = 25'000;

enum class Insert : uint8_t { added, updated, older, full };

class Directory {
 public:
  Insert insert(const RelayInfo&);
  void remove(const PeerId&);
  const RelayInfo* find(const PeerId&, Wall now) const;  // nullptr: unknown or expired
  // Whether an endpoint belongs to a relay (exits refuse to connect there).
  bool is_relay_endpoint(const Endpoint&) const;
  const std::map<PeerId, RelayInfo>& relays() const { return relays_; }
  void expire(Wall now);
  void check_invariants() const;

 private:
  std::map<PeerId, RelayInfo> relays_;
  std::map<Endpoint, unsigned> endpoints_;  // with how many relays list it
};

}  // namespace macrovpn::discovery
