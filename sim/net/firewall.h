// Firewall: what a network lets through without changing it.  It stands between hosts and the internet, before or behind a NAT.
//
//   open             everything
//   no_udp           nothing: only TCP leaves this network
//   web_and_dns      UDP to and from the remote ports 53 and 443 alone, begun from inside
//   outbound_first   from outside only what answers: a remote endpoint that was sent to from that very endpoint inside within
//                    `timeout` (an IPv6 home, RFC 6092; with IPv4 the filtering of a NAT does the same)
#pragma once
#include "base/time.h"
#include "model/ip.h"
#include "sim/net/lru_table.h"

namespace macrovpn::sim {

enum class FirewallRule : uint8_t { open, no_udp, web_and_dns, outbound_first };

struct FirewallModel {
  FirewallRule rule = FirewallRule::open;
  Duration timeout = std::chrono::minutes(2);  // RFC 6092 REC-14: UDP, not under two minutes
  size_t most_flows = 4096;                    // of too many the one used longest ago is forgotten
};

enum class Passage : uint8_t { refused, passes };

struct FirewallCounters {
  uint64_t out = 0, in = 0, refused_out = 0, refused_in = 0;
};

class Firewall {
 public:
  explicit Firewall(const FirewallModel& model) : model_(model), flows_(model.most_flows, model.timeout) {}

  Passage outward(Mono now, const Endpoint& inside, const Endpoint& remote);
  Passage inward(Mono now, const Endpoint& remote, const Endpoint& inside);
  void reboot() { flows_.clear(); }
  const FirewallModel& model() const { return model_; }
  size_t flows() const { return flows_.size(); }
  const FirewallCounters& counters() const { return counters_; }

 private:
  struct Flow {
    Endpoint inside, remote;
    bool operator==(const Flow&) const = default;
  };
  struct FlowHash {
    size_t operator()(const Flow& f) const noexcept {
      return std::hash<Endpoint>{}(f.inside) * 0x9e3779b97f4a7c15 ^ std::hash<Endpoint>{}(f.remote);
    }
  };
  struct Nothing {};

  bool lets_out(const Endpoint& remote) const;
  bool keeps_flows() const { return model_.rule == FirewallRule::web_and_dns || model_.rule == FirewallRule::outbound_first; }

  FirewallModel model_;
  LruTable<Flow, Nothing, FlowHash> flows_;
  FirewallCounters counters_;
};

}  // namespace macrovpn::sim
