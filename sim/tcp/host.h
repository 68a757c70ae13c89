// TcpHost: the TCP of one computer: many connections, listening ports, and resets for what nobody knows.
//
// Everything happens within the calls of its owner, who feeds it packets and deadlines; what it sends goes to the sink that comes with
// the call.  Contents must not call the host from changed(): their owner does so after the call.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <unordered_map>

#include "base/rng.h"
#include "base/strong.h"
#include "sim/tcp/endpoint.h"

namespace macrovpn::sim {

using ConnectionId = Strong<struct ConnectionIdTag, uint64_t>;

struct TcpHostCounters {
  uint64_t accepted = 0, refused = 0, full = 0, bad_packets = 0, unknown = 0;
};

class TcpHost {
 public:
  static constexpr size_t kMostConnections = 8192;  // of one host; more are refused
  using Service = std::function<std::unique_ptr<TcpContent>(const Endpoint& remote)>;

  // `random` draws initial sequence numbers and ports; it outlives the host.
  TcpHost(const TcpConfig& config, Rng& random) : config_(config), random_(&random) {}

  void listen(uint16_t port, Service service) { services_[port] = std::move(service); }
  // From a free port of `local`.  Nothing: too many connections.
  std::optional<ConnectionId> connect(Mono now, const IpAddress& local, const Endpoint& remote, std::unique_ptr<TcpContent> content, PacketSink& out);
  // Null: it is over and forgotten.
  TcpEndpoint* find(ConnectionId);
  void flush(Mono now, ConnectionId, PacketSink& out);  // after write() or close()
  void abort(Mono now, ConnectionId, PacketSink& out);

  void on_packet(Mono now, Bytes packet, PacketSink& out);  // TCP or ICMP about it; others are ignored
  void on_deadline(Mono now, PacketSink& out);
  Mono next_deadline() const { return deadlines_.empty() ? kNever : deadlines_.begin()->first; }
  // The computer was off: nothing is known, nobody is told.
  void forget_all();

  size_t connections() const { return connections_.size(); }
  const TcpHostCounters& counters() const { return counters_; }
  void check_invariants() const;

 private:
  struct Connection {
    std::unique_ptr<TcpContent> content;
    TcpEndpoint tcp;
    Mono deadline = kNever;  // as in deadlines_
  };
  struct Ends {
    Endpoint local, remote;
    bool operator==(const Ends&) const = default;
  };
  struct EndsHash {
    size_t operator()(const Ends& e) const noexcept {
      return std::hash<Endpoint>{}(e.local) * 0x9e3779b97f4a7c15 ^ std::hash<Endpoint>{}(e.remote);
    }
  };
  using Connections = std::map<uint64_t, Connection>;

  Connections::iterator add(const Ends&, std::unique_ptr<TcpContent>);
  void settle(Connections::iterator);
  void on_syn(Mono now, const TcpSegment&, PacketSink& out);
  void refuse(const TcpSegment&, PacketSink& out);
  void on_icmp(Mono now, Bytes packet, const routing::IpHeader&, PacketSink& out);
  uint16_t free_port(const IpAddress& local, const Endpoint& remote);

  TcpConfig config_;
  Rng* random_;
  std::map<uint16_t, Service> services_;
  Connections connections_;
  std::unordered_map<Ends, uint64_t, EndsHash> by_ends_;
  std::set<std::pair<Mono, uint64_t>> deadlines_;
  uint64_t next_id_ = 1;
  TcpHostCounters counters_;
};

}  // namespace macrovpn::sim
