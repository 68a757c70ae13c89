// Mischief: what a dishonest host does to the datagrams between its honest node and the wire.  Adversaries (sim/actors) are of
// this kind, so that everything they send was made by shipped code and then ill-treated.
#pragma once
#include "core/node/effects.h"

namespace macrovpn::sim {

class World;
struct Host;

class Mischief {
 public:
  struct Verdict {
    bool pass = true;
    Duration delay{0};
  };
  virtual ~Mischief() = default;
  virtual const char* name() const = 0;
  // They may change the bytes, and send more by World::inject().
  virtual Verdict leaves(World&, Host&, node::Datagram&) { return {}; }
  virtual Verdict reaches(World&, Host&, node::Datagram&) { return {}; }
};

}  // namespace macrovpn::sim
