// ExitPolicy: where an exit will go for its clients.  It denies by default: what is not plainly somebody
// else's public address is refused, so that nobody reaches the host, its LAN, other clients, or relays
// through it.
//
//   allowed   global unicast (special_purpose.h), plus the blocks that a lab's network file counts as global
//   dns       the one service of ours: port 53 of 10.10.0.1 and fd86:ea04:1115::1
//   denied    everything else, with the reason that is counted
//
// An IPv6 address that embeds an IPv4 one is judged as both.  The caller connects to the very address that
// was judged.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "core/routing/ip_packet.h"

namespace macrovpn::routing {

enum class ExitVerdict : uint8_t {
  allowed,
  dns,
  tunnel,          // other clients, or our own side of the tunnel
  not_global,      // special-purpose, private, multicast, reserved
  own_address,     // the host itself
  own_network,     // the networks that the host is on
  relay_endpoint,  // no second lap through the overlay, no attack on a relay in our name
  mail,            // 25/tcp
  protocol,        // not TCP, UDP or ICMP echo
  kCount
};
const char* to_string(ExitVerdict);  // a word for counters

struct ExitPolicyConfig {
  std::vector<IpPrefix> extra_global;  // of a lab
  std::vector<IpAddress> own_addresses;
  // A lab's extra_global wins over these, never over own_addresses: there all nodes may share one TEST-NET.
  std::vector<IpPrefix> own_networks;
};

class ExitPolicy {
 public:
  // Whether address:port is a relay's (the directory answers).  Must outlive the policy.
  using IsRelay = std::function<bool(const Endpoint&)>;
  ExitPolicy(ExitPolicyConfig config, IsRelay is_relay);

  // Port 0 stands for "the first packet did not say" (ICMP, later fragments).
  ExitVerdict judge(const IpAddress& destination, uint16_t port, IpProtocol protocol) const;
  ExitVerdict judge(const IpHeader&) const;
  // For addresses in DNS answers: could it be reached at any port at all?
  bool may_be_told(const IpAddress&) const;
  void set_own(std::vector<IpAddress> addresses, std::vector<IpPrefix> networks);

 private:
  ExitVerdict judge_address(const IpAddress&) const;

  ExitPolicyConfig config_;
  IsRelay is_relay_;
};

}  // namespace macrovpn::routing
