// What a Node is told at its start.
#pragma once
#include <optional>

#include "core/discovery/bandwidth_check.h"
#include "core/discovery/liveness_map.h"
#include "core/encryption/tunnels.h"
#include "core/node/commons.h"
#include "core/routing/ip_packet.h"
#include "core/routing/lease_table.h"
#include "core/routing/leg_table.h"
#include "core/routing/path_mtu.h"
#include "crypto/ed25519.h"
#include "model/contact.h"
#include "model/network.h"
#include "model/relay.h"

namespace macrovpn::node {

enum class Build : uint8_t { one_round_trip, hop_by_hop };

struct ClientConfig {
  size_t hops = 3;
  std::vector<PeerId> pinned_path;  // labs: exactly these relays
  std::optional<Region> exit_region;
  Build build = Build::one_round_trip;
  size_t spare_circuits = 1;
  std::vector<uint8_t> saved_guards;
  std::vector<uint8_t> saved_middles;
  std::vector<uint8_t> saved_observations;
};

struct RelayConfig {
  bool exit = false;
  bool exit_v6 = false;
  std::vector<IpPrefix>
      own_networks;  // never extended to; the host's own addresses are there with full length
  Bandwidth cap;     // of what is carried for others; zero: none
  bool introducer = false;  // relays behind a NAT may register here, and are reached through us (introduction_side.h)
  bool plain_stun = false;  // also answers STUN that is not masked: then every scanner can find this relay (stun_side.h)
};

// A directory that is fetched and kept equal with others (directory_side.h).
struct DirectoryConfig {
  // Who may know the network: seeds, an invite's relays, those of an old copy.
  std::vector<Contact> contacts;
  std::vector<uint8_t> saved_liveness;  // a client's
  Duration probed_each = discovery::kProbedEach;  // how often a relay looks whether another is there; labs: oftener
  // Relays measure each other's bandwidth (measure_side.h).  The week has to be one for the whole network; labs have shorter ones.
  enum class Measuring : uint8_t { off, on } measuring = Measuring::off;
  Duration measure_week = discovery::kMeasureWeek;
  std::vector<uint8_t> saved_measured;  // of MeasuredChanged
};

struct NodeConfig {
  KeyPair wireguard;
  std::optional<crypto::SigningKey> identity;  // relays
  Network network;
  std::optional<ClientConfig> client;
  std::optional<RelayConfig> relay;
  std::optional<DirectoryConfig> directory;  // nothing: whoever drives the node fills it; of several shards the first has it
  encryption::TunnelLimits tunnels;
  routing::LegLimits legs;
  routing::LeaseLimits leases;
  // Which shard of the node this is, and what all of them have in common.  Shard 0 has the control part: prekeys, and the client
  // if there is one.  Several shards only relay.
  routing::ShardPlace place;
  Commons commons;
};

inline constexpr uint16_t kLeastMtu = routing::PathMtu::kLeast;  // of a lease; below kLeastV6Mtu it carries IPv4 alone
using routing::kLeastV6Mtu;

// What fits inside n hops over a link of 1500 bytes: always 0 mod 16.
constexpr uint16_t mtu_for(size_t hops, IpFamily guard_family) {
  const size_t outer = guard_family == IpFamily::v4 ? 28 : 48;
  return static_cast<uint16_t>((1500 - outer) / 16 * 16 - 32 * hops);
}

}  // namespace macrovpn::node
