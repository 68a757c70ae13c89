// Lab: a world without a map, in which any two hosts are equally far apart, so that what a circuit takes can be worked out by hand.
//
//   client ══ guard ══ middle ══ exit ─ site       each ══ is one link: the same round trip, the same loss each way
//
// The site stands beside every exit, on a wire of its own without delay or loss: what is behind an exit is nobody's circuit. Relays have
// lines without a limit; a client may be given a narrow one.
#pragma once
#include "sim/net/topology.h"
#include "sim/world/world.h"

namespace macrovpn::sim {

struct LabConfig {
  uint64_t seed = 1;
  Duration link{0};  // the round trip between any two hosts
  Ppm loss = 0;      // of the datagrams of each link, each way
  size_t relays = 12, exits = 8;
};

enum class Position : uint8_t { guard, middle, exit };  // in a circuit of three hops
const char* to_string(Position);

class Lab {
 public:
  Lab(const LabConfig& config, std::unique_ptr<Program> site_program);

  World& world() { return world_; }
  const IpAddress& site() const { return site_; }
  static const IpAddress& inside();  // every client's address for its programs
  // At once, with its program. Rate and queue of its line each way: the link's loss is added.
  HostId add_client(const node::ClientConfig& client, std::unique_ptr<Program> program, const LinkModel& line = {});
  // A relay of the circuit that carries the client's program now. None: there is no circuit.
  std::optional<HostId> relay_of(HostId client, Position) const;

 private:
  static WorldConfig world_config(const LabConfig&);
  LinkModel with_loss(LinkModel line) const;
  HostSpec placed(HostKind, size_t system);

  LabConfig config_;
  SeededRng random_;
  Topology topology_;
  World world_;
  IpAddress site_;
  size_t clients_ = 0;
};

}  // namespace macrovpn::sim
