// Watcher: whoever looks at a world without touching it: the checkers, the story, the statistics.  Watchers are told in the order
// in which they were added, and never draw from a stream of the world.
#pragma once
#include <string>

#include "core/node/effects.h"
#include "model/ip.h"
#include "sim/world/host_id.h"

namespace macrovpn::sim {

class World;
struct Host;

// A datagram as it leaves a host, before NATs.
struct Leaving {
  const Host& from;
  SocketId socket;
  Endpoint source, target;
  Bytes bytes;
  bool forged = false;  // the source is not the sender's
  bool made_up = false;  // not by its node: an adversary's own
};
// A datagram as it reaches a host, behind NATs.
struct Reaching {
  const Host& to;
  SocketId socket;
  Endpoint source;
  Bytes bytes;
  bool forged = false;
};

class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void leaves(World&, const Leaving&) {}
  virtual void reaches(World&, const Reaching&) {}
  virtual void program_sent(World&, const Host& /*client*/, Bytes /*ip*/) {}
  virtual void program_got(World&, const Host& /*client*/, Bytes /*ip*/) {}
  // The same, and on which of its devices.
  virtual void device_got(World&, const Host& /*client*/, TunId, Bytes /*ip*/) {}
  virtual void exit_sent(World&, const Host& /*exit*/, Bytes /*ip, from the lease's private address*/) {}
  virtual void exit_got(World&, const Host& /*exit*/, Bytes /*ip, for a lease's private address*/) {}
  virtual void server_got(World&, const Host& /*server*/, const Host& /*exit*/, Bytes /*ip*/) {}
  virtual void node_event(World&, const Host&, const node::NodeEvent&) {}
  // What the world did to a host, and what became of it, in words.
  virtual void fault(World&, const Host&, const std::string&) {}
  // A transport message of that host's node is about to be sealed; part of a handshake, or early data.
  virtual void seals(World&, const Host&, const Secret<32>& /*key*/, uint64_t /*counter*/) {}
  virtual void seals_once(World&, const Host&, const Secret<32>& /*key*/) {}
  virtual void touched(World&, const Host&) {}  // its node was called, and all it said was carried out
  virtual void each_second(World&) {}
  virtual void at_end(World&) {}
};

}  // namespace macrovpn::sim
