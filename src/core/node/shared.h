// What the sides of a node have in common.
#pragma once
#include "core/discovery/directory.h"
#include "core/node/config.h"
#include "core/node/egress.h"
#include "core/peers/resources.h"
#include "core/peers/service.h"

namespace macrovpn::node {

// What a datagram of ours has in front of WireGuard: UDP and IPv4.  The cap counts it.
inline constexpr size_t kCarriedHeaders = 28;

struct Shared {
  const NodeConfig& config;
  PeerId self;  // of our identity; zeros for a pure client
  PacketPool& pool;
  Rng& rng;
  discovery::Directory& directory;
  encryption::Tunnels& tunnels;
  MaskTable& masks;
  Egress& egress;
  peers::Resources& resources;      // of a relay: what it lends
  const peers::Service& service;    // whether it serves just now
};

}  // namespace macrovpn::node
