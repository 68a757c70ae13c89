#include "core/routing/exit_policy.h"

#include <algorithm>

#include "core/routing/address_rewrite.h"
#include "model/special_purpose.h"

namespace macrovpn::routing {
namespace {

constexpr uint16_t kDnsPort = 53, kMailPort = 25;

bool any_contains(std::span<const IpPrefix> prefixes, const IpAddress& a) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const IpPrefix& p) { return p.contains(a); });
}

bool is_tunnel(const IpAddress& a) {
  const InsideAddresses& inside =
      InsideAddresses::get();  // network6 holds the private addresses of leases too
  return inside.network4.contains(a) || inside.network6.contains(a) ||
         private_network(IpFamily::v4).contains(a);
}

}  // namespace

const char* to_string(ExitVerdict v) {
  static constexpr const char* kNames[] = {"allowed",        "dns",         "tunnel",
                                           "not_global",     "own_address", "own_network",
                                           "relay_endpoint", "mail",        "protocol"};
  static_assert(std::size(kNames) == static_cast<size_t>(ExitVerdict::kCount));
  return kNames[static_cast<size_t>(v)];
}

ExitPolicy::ExitPolicy(ExitPolicyConfig config, IsRelay is_relay)
    : config_(std::move(config)), is_relay_(std::move(is_relay)) {}

void ExitPolicy::set_own(std::vector<IpAddress> addresses, std::vector<IpPrefix> networks) {
  config_.own_addresses = std::move(addresses);
  config_.own_networks = std::move(networks);
}

ExitVerdict ExitPolicy::judge_address(const IpAddress& a) const {
  if (is_tunnel(a)) return ExitVerdict::tunnel;
  if (std::find(config_.own_addresses.begin(), config_.own_addresses.end(), a) != config_.own_addresses.end())
    return ExitVerdict::own_address;
  if (!is_global_unicast(a, config_.extra_global)) return ExitVerdict::not_global;
  if (any_contains(config_.own_networks, a) && !any_contains(config_.extra_global, a))
    return ExitVerdict::own_network;
  if (const auto inner = embedded_v4(a)) return judge_address(*inner);
  return ExitVerdict::allowed;
}

bool ExitPolicy::may_be_told(const IpAddress& a) const {
  return judge_address(a) == ExitVerdict::allowed;
}

ExitVerdict ExitPolicy::judge(const IpAddress& destination, uint16_t port, IpProtocol protocol) const {
  const bool tcp = protocol == IpProtocol::tcp, udp = protocol == IpProtocol::udp;
  if ((tcp || udp) && port == kDnsPort && InsideAddresses::get().is_dns(destination)) return ExitVerdict::dns;
  const ExitVerdict v = judge_address(destination);
  if (v != ExitVerdict::allowed) return v;
  if (!tcp && !udp && protocol != IpProtocol::icmp && protocol != IpProtocol::icmpv6)
    return ExitVerdict::protocol;
  if (tcp && port == kMailPort) return ExitVerdict::mail;
  if (tcp || udp) {
    const auto inner = embedded_v4(destination);
    if (is_relay_({destination, port}) || (inner && is_relay_({*inner, port})))
      return ExitVerdict::relay_endpoint;
  }
  return ExitVerdict::allowed;
}

ExitVerdict ExitPolicy::judge(const IpHeader& h) const {
  const ExitVerdict v = judge(h.destination, h.destination_port, h.protocol);
  const bool icmp = h.protocol == IpProtocol::icmp || h.protocol == IpProtocol::icmpv6;
  return v == ExitVerdict::allowed && icmp && h.has_transport() && !is_echo_request(h) ? ExitVerdict::protocol
                                                                                       : v;
}

}  // namespace macrovpn::routing
