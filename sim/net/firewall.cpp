#include "sim/net/firewall.h"

namespace macrovpn::sim {

bool Firewall::lets_out(const Endpoint& remote) const {
  switch (model_.rule) {
    case FirewallRule::open:
    case FirewallRule::outbound_first:
      return true;
    case FirewallRule::no_udp:
      return false;
    case FirewallRule::web_and_dns:
      return remote.port == 53 || remote.port == 443;
  }
  return false;
}

Passage Firewall::outward(Mono now, const Endpoint& inside, const Endpoint& remote) {
  if (!lets_out(remote)) {
    counters_.refused_out++;
    return Passage::refused;
  }
  counters_.out++;
  if (!keeps_flows()) return Passage::passes;
  const Flow flow{inside, remote};
  if (auto* const known = flows_.find(now, flow)) {
    flows_.refresh(now, *known);
    return Passage::passes;
  }
  while (const auto* gone = flows_.must_go(now)) {
    const Flow old = gone->key;
    flows_.remove(old);
  }
  flows_.add(now, flow, {});
  return Passage::passes;
}

Passage Firewall::inward(Mono now, const Endpoint& remote, const Endpoint& inside) {
  const bool passes = model_.rule == FirewallRule::open || (keeps_flows() && flows_.find(now, {inside, remote}) != nullptr);
  (passes ? counters_.in : counters_.refused_in)++;
  return passes ? Passage::passes : Passage::refused;
}

}  // namespace macrovpn::sim
