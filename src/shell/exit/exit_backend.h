// ExitBackend: the last step of an exit.  IP packets of leases go in, each with its lease's private source
// address (core/routing/address_rewrite.h); packets to those addresses come out.
//
//   RootlessExit   any user: a private network namespace ends the flows, sockets of ours go on
//   (rootless_exit.h) KernelExit     root: the kernel forwards and masquerades (kernel_exit.h)
//
// Both ask the policy before anything leaves, count why not, keep bounded tables and write no address
// anywhere. What comes out is handed over in batches from the reactor's loop, never from within inject().
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "base/packet.h"
#include "core/routing/address_rewrite.h"
#include "core/routing/dns_resolver.h"
#include "core/routing/exit_policy.h"
#include "shell/packet_device.h"
#include "shell/reactor.h"

namespace macrovpn::shell {

struct ExitLimits {
  size_t tcp_flows = 4096, tcp_flows_per_lease = 512;
  size_t udp_ports = 4096, udp_ports_per_lease = 256;
  size_t pings = 512, pings_per_lease = 16;
  size_t dns_connections = 256, dns_connections_per_lease = 8;
  size_t pipes = 192;  // x 256 KiB: the kernel gives one user 64 MiB (pipe-user-pages-soft)
  Duration tcp_connect = 30s;
  Duration tcp_idle = 2h,
           tcp_half_closed = 5min;  // RFC 5382: not less than 2 h 4 min; keepalives find the dead sooner
  Duration udp_idle = 120s;         // RFC 4787
  Duration ping_idle = 30s;
  routing::DnsLimits dns;
};

struct ExitConfig {
  std::vector<IpPrefix> extra_global;     // of the network file
  routing::ExitPolicy::IsRelay is_relay;  // the directory's answer
  std::vector<Endpoint> dns_upstreams;    // empty: those of /etc/resolv.conf
  uint16_t listen_port = 0;               // of the relay itself
  routing::ShardPlace place;              // whose leases these are: each worker has an exit of its own
  uint16_t mtu = 1376;                    // of the way to the clients, unless set_mtu() says otherwise
  ExitLimits limits;
  std::optional<PacketDevice::Kind> device;  // for tests; none: what works
};

// What one of several exits of a relay may hold, so that all together hold as much as one alone; what a lease may is the same, as a
// lease has all it has at one of them.
ExitLimits part_of(const ExitLimits&, size_t shards);

// Numbers only.
struct ExitCounters {
  uint64_t packets_in = 0, packets_out = 0;
  uint64_t malformed = 0, wrong_source = 0, device_full = 0;
  uint64_t denied[static_cast<size_t>(routing::ExitVerdict::kCount)] = {};
  uint64_t tcp_opened = 0, tcp_refused = 0, tcp_unreachable = 0, tcp_full = 0, tcp_broken = 0;
  uint64_t udp_opened = 0, udp_full = 0, udp_unwanted = 0, udp_errors = 0;
  uint64_t pings = 0, pings_full = 0, pings_impossible = 0;
  uint64_t dns_full = 0;
  void add(const ExitCounters&);
};

class ExitBackend {
 public:
  using OnPackets = std::function<void(std::span<Packet>)>;
  ExitBackend() = default;
  ExitBackend(const ExitBackend&) = delete;
  ExitBackend& operator=(const ExitBackend&) = delete;
  virtual ~ExitBackend() = default;

  // The packets are used up.
  virtual void inject(std::span<Packet> packets) = 0;
  virtual void set_mtu(routing::LeaseNumber, uint16_t mtu) = 0;
  // The lease is over: all that was held for it is closed.
  virtual void forget(routing::LeaseNumber) = 0;
  virtual const ExitCounters& counters() const = 0;
};

}  // namespace macrovpn::shell
