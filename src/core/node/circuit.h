// A client's circuit, its hops, and the group that it serves.
#pragma once
#include <deque>
#include <map>
#include <vector>

#include "base/packet.h"
#include "core/node/config.h"
#include "core/node/group_id.h"
#include "core/routing/frames.h"
#include "core/routing/liveness.h"
#include "core/routing/newest_segments.h"
#include "core/routing/open_flows.h"
#include "core/routing/path_mtu.h"
#include "model/relay.h"

namespace macrovpn::node {

struct Hop {
  RelayInfo relay;
  uint8_t endpoint = 0;  // which of the relay's
  PublicKey our_key;
  PeerRef peer;
  LegNumber leg;  // in the session of the hop before; 0 for the first
  bool up = false;
  Duration up_after{};    // since the first packet of the build
  Duration round_trip{};  // of the newest ping
  ByteArray<32> challenge{};
  bool sent_cookie = false;
  bool bound = false;  // proved that its identity and WireGuard keys belong together
};

struct Circuit {
  enum class State : uint8_t { waiting_for_guard, building, ready, draining };
  CircuitId id;
  GroupId group;  // that it serves; nobody: a spare
  State state = State::building;
  std::vector<Hop> hops;
  bool hop_by_hop = false;
  bool shares_guard = false;  // the first hop's session carries other circuits too
  bool resumes = false;       // asked to take over the group's lease
  Mono build_started = kLongAgo;
  Duration ready_after{};
  Mono gives_up = kNever;   // building: the timeout; draining: the end
  Mono tries_again = kNever;  // building: if not all have answered by then
  bool tried_again = false;
  routing::LeaseId lease{};
  Secret<32> lease_secret;
  bool granted = false;
  bool exits_v6 = false;  // the exit has IPv6; known once granted
  bool move_told = false;
  Mono asked_lease = kNever;
  routing::PathMtu path_mtu;
  int mtu_told = 0;  // requests with the newest size that the exit has not confirmed
  Mono check_binding = kNever;
  int binding_tries = 0;
  routing::Liveness live;
  struct Ping {
    size_t hop;
    Mono sent;
    uint16_t size;  // 0: a small one
  };
  std::map<uint64_t, Ping> pings;  // at most kMaxPings, oldest dropped
  uint64_t tx_bytes = 0, rx_bytes = 0;
  Mono rate_since = kLongAgo;  // throughput is measured from here on,
  uint64_t rate_from = 0;      // where rx_bytes was this

  Hop& exit() { return hops.back(); }
  const Hop& exit() const { return hops.back(); }
  uint16_t mtu() const { return path_mtu.mtu(); }
  // Not said before the exit has: then it is tried.
  bool carries_v6() const { return mtu() >= kLeastV6Mtu && (exits_v6 || !granted); }
};
inline constexpr size_t kMaxPings = 32;
inline constexpr size_t kMaxWaiting = 64;

// One isolation group: its circuit, and the lease that keeps its connections.
struct Group {
  GroupId id;
  CircuitId active;       // carries the group's packets; 0: none
  CircuitId replacement;  // being built
  bool has_lease = false;
  PeerId exit;  // where the lease lives
  routing::LeaseId lease{};
  Secret<32> lease_secret;
  std::vector<PeerId> avoid;    // middles of the circuit that is being left
  int exit_failures = 0;        // builds that got as far as the hop before the exit
  std::vector<PeerId> before_silent_exit;  // middles of those builds: answered, and are innocent once the exit is given up
  int failed_builds = 0;        // since the last success
  Mono trouble_since = kNever;  // when the old circuit was last heard
  Mono retry_at = kNever;
  bool served = false;          // had a circuit and a lease
  bool while_used = false;      // made by a packet, forgotten when nobody needs it
  Mono last_packet = kLongAgo;  // in or out
  routing::OpenFlows flows;
  routing::NewestSegments sent;  // by the program
  std::deque<Packet> waiting;  // packets while there is no circuit; oldest dropped at kMaxWaiting
};

}  // namespace macrovpn::node
