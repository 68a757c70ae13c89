// What the sides of a node have in common.
#pragma once
#include "core/discovery/directory.h"
#include "core/node/config.h"
#include "core/node/egress.h"

namespace macrovpn::node {

struct Shared {
  const NodeConfig& config;
  PeerId self;  // of our identity; zeros for a pure client
  PacketPool& pool;
  Rng& rng;
  discovery::Directory& directory;
  encryption::Tunnels& tunnels;
  MaskTable& masks;
  Egress& egress;
};

}  // namespace macrovpn::node
