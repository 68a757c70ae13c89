// Host: a computer in a world: one node or none, a disk, a clock that may be wrong, a place, and a link each way to the Internet.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/node/node.h"
#include "core/routing/exit_policy.h"
#include "sim/engine/event_heap.h"
#include "sim/engine/streams.h"
#include "sim/net/geography.h"
#include "sim/net/link.h"
#include "sim/world/history.h"
#include "sim/world/host_id.h"
#include "sim/world/mischief.h"
#include "sim/world/program.h"

namespace macrovpn::sim {

enum class HostKind : uint8_t { client, relay, exit, server };
const char* to_string(HostKind);

// What a crash leaves: what the shell writes to files.
struct Disk {
  KeyPair wireguard;
  std::optional<crypto::SigningKey> identity;
  std::vector<uint8_t> guards, middles, observations;
  std::vector<PeerId> dead;  // relays, ascending, as a client with a live directory last heard
};

struct HostCounters {
  uint64_t datagrams_out = 0, datagrams_in = 0, bytes_out = 0, bytes_in = 0;
  uint64_t inner_up = 0, inner_up_bytes = 0;      // of programs, into the tunnel
  uint64_t inner_down = 0, inner_down_bytes = 0;  // out of it
  uint64_t circuits = 0, moved = 0, lost_leases = 0;
};

struct RunningProgram {
  std::unique_ptr<Program> program;
  EventId timer;
};

struct Host {
  Host(HostId number, HostKind k, std::string n, const Streams& streams, const LinkModel& up_model, const LinkModel& down_model)
      : id(number),
        kind(k),
        name(std::move(n)),
        node_rng(streams.of("node", number.value)),
        up_rng(streams.of("link up", number.value)),
        down_rng(streams.of("link down", number.value)),
        up(up_model, up_rng),
        down(down_model, down_rng) {}
  Host(const Host&) = delete;

  HostId id;
  HostKind kind;
  std::string name;
  SeededRng node_rng, up_rng, down_rng;
  Disk disk;
  node::NodeConfig config;           // keys and guards as on the disk
  std::unique_ptr<node::Node> node;  // none: a server, or crashed
  bool asleep = false;
  Duration skew{0};                  // of its calendar

  IpAddress address;  // on its own network interface
  RealmId realm = kInternet;
  Place place{};
  Link up, down;      // its access to the Internet

  EventId deadline;
  int calls_at_once = 0;  // deadlines at one instant: more than a few are a bug
  Mono called_at = kLongAgo;

  RelayInfo info;  // relays: as signed last
  bool info_is_stale = false;
  std::optional<routing::ExitPolicy> policy;  // exits
  std::vector<RunningProgram> programs;
  std::unique_ptr<Mischief> mischief;

  HostCounters counters;
  History history;
  int64_t memory = 0;  // that its node holds
  Mono trouble_until = kLongAgo;  // until then something is wrong with it itself

  bool runs() const { return node && !asleep; }
  bool relays() const { return kind == HostKind::relay || kind == HostKind::exit; }
};

}  // namespace macrovpn::sim
