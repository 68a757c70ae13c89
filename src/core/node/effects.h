// What goes into and comes out of a Node.  Outputs are appended to the Effects that the driver passes in.
#pragma once
#include <optional>
#include <variant>
#include <vector>

#include "base/packet.h"
#include "base/time.h"
#include "core/controller/state.h"
#include "core/discovery/client_copy.h"
#include "core/node/group_id.h"
#include "core/node/records.h"
#include "core/node/shard_message.h"
#include "core/routing/lease_table.h"
#include "model/ids.h"
#include "model/ip.h"
#include "model/keys.h"
#include "model/relay_details.h"

namespace macrovpn::node {

struct Datagram {
  SocketId socket;
  Endpoint remote;  // from, or to
  Packet packet;
  IpAddress local{};  // which address of ours it came to, or should come from; unspecified: whichever the system takes
};

struct TunPacket {
  TunId tun;
  Packet packet;
};

// For the driver: publish a renewal with this prekey.
struct PrekeyChanged {
  PublicKey prekey;
};
// For the driver: store these bytes (relay ids and dates; core/peers/guard_set.h).
struct GuardsChanged {
  std::vector<uint8_t> saved;
};
// As well: core/peers/middle_set.h.
struct MiddlesChanged {
  std::vector<uint8_t> saved;
};
// As well: core/discovery/liveness_map.h.
struct LivenessChanged {
  std::vector<uint8_t> saved;
};
struct StateChanged {
  controller::State state;
};
struct CircuitReady {
  CircuitId circuit;
  GroupId group;  // nobody: a spare
};
// A lease went to a new circuit: connections live on.
struct LeaseMoved {
  GroupId group;
  Duration after_trouble;  // since the old circuit was last heard; zero for a wanted hop
};
// The exit is gone or forgot the lease: a new one, with new addresses; open connections are lost.
struct LeaseLost {
  GroupId group;
};
// What a circuit carries was found to be less, or more again.
struct MtuChanged {
  CircuitId circuit;
  GroupId group;  // nobody: a spare
  uint16_t mtu;
};
struct Warning {
  std::string text;  // a sentence for a person; no address in it
};
// A client compared its copy of the directory, or tried to.
struct DirectorySynced {
  discovery::SyncVerdict verdict;
  size_t known = 0;
  std::vector<PeerId> struck;  // sources that kept something back
};
// A question for a record, or a put, has come to an end (records.h).
struct RecordEnded {
  RecordTicket ticket;
  RecordOutcome outcome;
};
// Other relays were asked to call this one at an endpoint that is not published (VerifySide::ask_about_us): how many came through, and how many tried in vain.
struct OwnReach {
  size_t yes = 0, no = 0;
};
// What a relay measured of others: for its descriptor, when that is signed again, and to be stored (discovery::encode_measured).
struct MeasuredChanged {
  std::optional<MeasuredRelays> measured;  // nothing: of nobody
};
using NodeEvent = std::variant<OwnReach, MeasuredChanged, PrekeyChanged, GuardsChanged, MiddlesChanged, LivenessChanged, StateChanged, CircuitReady, LeaseMoved, LeaseLost,
                               MtuChanged, DirectorySynced, RecordEnded, Warning>;

// For the driver: a UDP socket of this number, on any port, is wanted, or no longer (way_sockets.h).
struct SocketChange {
  enum class Kind : uint8_t { open, close } kind;
  SocketId socket;
};

// For the exit's network: a lease took effect with this MTU, has it from now on, or (no MTU) was forgotten.
struct ExitLease {
  routing::LeaseNumber number;
  std::optional<uint16_t> mtu;
};

struct Effects {
  std::vector<SocketChange> sockets;  // those that open: before the datagrams leave; those that close: after
  std::vector<Datagram> datagrams;  // in order; the shell may group them by remote
  std::vector<TunPacket> tun_packets;
  std::vector<Packet> exit_packets;  // IP packets whose source is the lease's private address
  std::vector<ExitLease> exit_leases;
  std::vector<ShardMessage> to_shards;  // in order
  std::vector<discovery::SyncCheck> checks;  // discovery::run_check() each, on any thread, and say what came of it: Node::on_checked()
  discovery::SetChanges directory;           // for the store, and for the Directory of other shards; in order, `gone` before `come`
  std::vector<NodeEvent> events;
};

}  // namespace macrovpn::node
