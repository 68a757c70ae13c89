// Directory: the relays that this node knows, by id.  Everything in it was verified (descriptor.h) before it
// came in; there is no lookup over the network, so nobody learns whom a client considers.
//
// Highest signing time wins; what has expired is not found any more, but stays listed until expire().
//
// A copy costs a pointer: copies have the same list until one of them changes, and then still the same descriptors.  So the
// ten thousand nodes of a simulation hold once what they all verified, with its indexes, and what was checked once is not checked
// for each of them.  Copies that share belong to one thread.
//
// All but relays() costs the logarithm of the number of relays, expire() too while nothing has expired.
#pragma once
#include <map>
#include <memory>
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
  void set_bandwidth(const PeerId&, Bandwidth);  // what it counts as (measured.h)
  const RelayInfo* find(const PeerId&, Wall now) const;  // nullptr: unknown or expired
  // Whether an endpoint belongs to a relay (exits refuse to connect there).
  bool is_relay_endpoint(const Endpoint&) const;
  bool is_relay_key(const PublicKey& wireguard) const;
  using Relays = std::map<PeerId, std::shared_ptr<const RelayInfo>>;  // never null
  const Relays& relays() const { return list_->relays; }
  void expire(Wall now);
  void check_invariants() const;

 private:
  struct List {
    Relays relays;
    std::map<Endpoint, unsigned> endpoints;  // with how many relays list it
    std::map<PublicKey, unsigned> keys;      // the same
    Wall first_expiry = Wall::max();         // none is earlier; may be changed without owning the list
    mutable bool checked = false;            // as it is now, by check_invariants()
    void count(const RelayInfo&);
    void uncount(const RelayInfo&);
  };
  List& own();  // ours alone: copied first if others have it too
  std::shared_ptr<List> list_ = std::make_shared<List>();
};

}  // namespace macrovpn::discovery
