// What the parts of the proxy share.
#pragma once
#include <memory>

#include "shell/exit/pipe_pool.h"
#include "shell/proxy/host_helper.h"
#include "shell/proxy/outbound.h"
#include "shell/proxy/peer_owner.h"
#include "shell/proxy/udp_association.h"

namespace macrovpn::shell {

struct ProxyLimits {
  size_t connections = 2048;  // a connection has two descriptors
  size_t asking = 256;        // of those, such as have not said what they want; then the oldest of them goes
  size_t associations = 128;
  Duration asking_time = 30s;  // in all, however slowly it is said
  Duration closing_time = 2s;  // for a refusal to be read
  Duration idle = 2h + 4min;   // RFC 5382
  Duration half_closed = 5min;
  Duration sweep_every = 1s;
};

// Numbers only.
struct ProxyCounters {
  uint64_t accepted = 0, not_ours = 0, evicted = 0, full = 0;
  uint64_t malformed = 0, connected = 0, associations = 0, broken = 0;
  uint64_t failed[static_cast<size_t>(Outcome::kCount)] = {};
  UdpCounters udp;
};

struct ProxyContext {
  Outbound outbound;
  PeerOwner owner;
  // Makes a UDP socket on loopback of the programs' network (HostHelper).
  std::function<Result<Fd>(const IpAddress& loopback)> udp_socket;
  // Whether the tunnel leads anywhere; where it is known not to, nobody waits.
  std::function<bool()> is_up = [] { return true; };
  ProxyLimits limits = {};
  ProxyCounters counters = {};
  GroupTable groups = {};
  PipePool pipes{192};  // x 256 KiB: the kernel gives one user 64 MiB
  size_t associations = 0;

  Reactor& reactor() { return outbound.reactor; }
  Mono now() const { return outbound.now(); }
};

}  // namespace macrovpn::shell
