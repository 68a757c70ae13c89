// Nat: a box that translates UDP endpoints, as homes and carriers have it (RFC 4787, RFC 6888).
//
//        inside                                outside
//   192.168.1.2:5000  ──from_inside()──>  10.7.0.9:31000  ──>  remote
//   192.168.1.2:5000  <─from_outside()──  10.7.0.9:31000  <──  remote
//
//   mapping    (§4.1) to which external port: the same for all remotes, one for each remote address, or one for each remote endpoint
//   filtering  (§5)   from whom packets come in: from anybody, from remote addresses that were sent to, or endpoints that were sent to
//   expiry     (§4.3) a mapping lapses `timeout` after the last packet out (REQ-6), or in, if so told
//   ports      (§4.2) the inside one where it is free, the next one, or any
//
// A carrier's NAT is one whose inside holds the outside addresses of homes; a packet goes through both, one after the other.
// There a host may have only `most_per_host` mappings, so that one does not take the ports of all (RFC 6888 REQ-3).
//
// Every table is bounded: of too many mappings, and of too many remotes of one mapping, the one used longest ago goes.
// Only addresses and ports are dealt with; the bytes are the caller's.  Endpoints are UDP's.
#pragma once
#include <array>
#include <map>
#include <optional>
#include <set>

#include "base/result.h"
#include "base/rng.h"
#include "model/ip.h"
#include "sim/net/lru_table.h"

namespace macrovpn::sim {

enum class NatDependence : uint8_t { endpoint_independent, address_dependent, address_and_port_dependent };
enum class NatPorts : uint8_t { preserved, sequential, random };
enum class NatRefresh : uint8_t { outbound_only, outbound_and_inbound };
enum class NatHairpin : uint8_t { no, yes };

struct NatModel {
  NatDependence mapping = NatDependence::endpoint_independent;
  NatDependence filtering = NatDependence::address_and_port_dependent;
  NatPorts ports = NatPorts::preserved;
  NatRefresh refresh = NatRefresh::outbound_only;
  NatHairpin hairpin = NatHairpin::no;
  Duration timeout = std::chrono::minutes(5);  // REQ-5: not under two minutes, five recommended; many boxes have 30 s
  uint16_t first_port = 1024, last_port = 65535;
  size_t most_mappings = 4096;
  size_t most_per_host = 4096;
  size_t most_remotes = 256;  // of one mapping that filters; the one sent to longest ago may not answer any more

  static constexpr NatModel full_cone() { return {.filtering = NatDependence::endpoint_independent}; }
  static constexpr NatModel restricted() { return {.filtering = NatDependence::address_dependent}; }
  static constexpr NatModel port_restricted() { return {}; }
  static constexpr NatModel symmetric() {
    return {.mapping = NatDependence::address_and_port_dependent, .ports = NatPorts::random};
  }
  bool operator==(const NatModel&) const = default;
};

enum class NatDrop : uint8_t {
  no_mapping,    // nobody inside speaks from that port, or not any more
  filtered,      // somebody does, but not with this remote
  no_port,       // all ports are taken
  host_limit,    // this host has all the mappings that it may have
  not_hairpin,   // from inside to our own outside address, which this box does not do
  kCount
};
const char* to_string(NatDrop);

struct Translated {
  Endpoint source, destination;
  bool to_inside = false;  // a hairpin: it stays inside, else it goes out
};

struct NatCounters {
  uint64_t out = 0, in = 0, mappings = 0, evicted = 0;
  std::array<uint64_t, static_cast<size_t>(NatDrop::kCount)> dropped{};
  uint64_t dropped_for(NatDrop why) const { return dropped[static_cast<size_t>(why)]; }
};

class Nat {
 public:
  // `random` belongs to the caller and outlives the box.
  Nat(const NatModel& model, const IpAddress& outside, Rng& random);

  // A packet of a host inside.  Makes a mapping if there is none.
  Result<Translated, NatDrop> from_inside(Mono now, const Endpoint& source, const Endpoint& destination);
  // A packet to our outside address.
  Result<Translated, NatDrop> from_outside(Mono now, const Endpoint& source, const Endpoint& destination);

  // The power was out: every mapping is gone, and perhaps the address is another one.
  void reboot(std::optional<IpAddress> outside = std::nullopt);
  const IpAddress& outside() const { return outside_; }
  const NatModel& model() const { return model_; }
  size_t mappings() const { return mappings_.size(); }  // lapsed ones may be among them
  const NatCounters& counters() const { return counters_; }
  void check_invariants() const;

 private:
  // Of the remote only what the mapping depends on is kept; the rest is zero.
  struct Key {
    Endpoint inside, remote;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& k) const noexcept {
      return std::hash<Endpoint>{}(k.inside) * 0x9e3779b97f4a7c15 ^ std::hash<Endpoint>{}(k.remote);
    }
  };
  struct Permit {
    Endpoint remote;
    Mono until;
  };
  struct Mapping {
    uint16_t port = 0;
    std::vector<Permit> permits;  // the last used in front
  };
  using Table = LruTable<Key, Mapping, KeyHash>;

  static Endpoint part(const Endpoint& remote, NatDependence);
  Result<Table::Entry*, NatDrop> mapping_for(Mono now, const Endpoint& inside, const Endpoint& remote);
  std::optional<uint16_t> free_port(uint16_t wanted);
  void forget(const Key& key, uint16_t port);
  void permit(Mono now, Mapping&, const Endpoint& remote);
  bool is_permitted(Mono now, const Mapping&, const Endpoint& remote) const;
  Result<Translated, NatDrop> come_in(Mono now, const Endpoint& source, uint16_t port);
  Failure<NatDrop> drop(NatDrop why);

  NatModel model_;
  IpAddress outside_;
  Rng* random_;
  Table mappings_;
  std::map<uint16_t, Key> by_port_;
  std::map<IpAddress, size_t> per_host_;
  uint16_t next_port_;
  NatCounters counters_;
};

}  // namespace macrovpn::sim
