// Finds out what NAT this computer is behind, with a UDP socket of its own (core/discovery/nat_probe.h).  It blocks for up to six
// seconds: for commands, not for a daemon.
//
// What others learn: each relay that is asked, or calls, that this address uses Macro VPN.
#pragma once
#include "base/result.h"
#include "base/rng.h"
#include "core/discovery/nat_probe.h"
#include "model/network.h"
#include "model/relay.h"

namespace macrovpn::shell {

struct NatQuestion {
  NetworkId network;
  // Of one family, at different addresses; at most three count.  The first is asked most.
  std::vector<RelayInfo> relays;
  IpFamily family = IpFamily::v4;
  // Instead of relays: ordinary STUN servers; of one with two addresses (RFC 5780) both.
  std::vector<Endpoint> servers;
};
Result<discovery::NatReport> probe_nat(const NatQuestion&, Rng&);

// Which of the relays masked datagrams of `size` bytes (at most 1232) reach, so that an answer comes back: the round trip to each, asked three times.
Result<std::vector<std::optional<Duration>>> reaches(const NatQuestion&, size_t size, Rng&);

// The endpoint of a relay in a family, if it has one.
std::optional<Endpoint> endpoint_in(const RelayInfo&, IpFamily);

}  // namespace macrovpn::shell
