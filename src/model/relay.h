// RelayInfo: what this node knows of a relay, taken from a descriptor and renewal whose signatures were
// verified.
#pragma once
#include <vector>

#include "base/time.h"
#include "model/ip.h"
#include "model/keys.h"

namespace macrovpn {

// Flags that a relay claims in its descriptor; a set of bits.
enum class RelayFlag : uint16_t { guard = 1, middle = 2, exit = 4, exit_v4 = 8, exit_v6 = 16, introducer = 32 };
struct RelayFlags {
  uint16_t bits = 0;
  bool has(RelayFlag f) const { return (bits & static_cast<uint16_t>(f)) != 0; }
  void set(RelayFlag f) { bits = static_cast<uint16_t>(bits | static_cast<uint16_t>(f)); }
  auto operator<=>(const RelayFlags&) const = default;
};

// ISO 3166 country code in capitals, or two zero bytes: not claimed.
struct Region {
  ByteArray<2> code{};
  bool known() const { return code[0] != 0; }
  auto operator<=>(const Region&) const = default;
};

// Bytes per second.
struct Bandwidth {
  uint64_t bytes_per_second = 0;
  auto operator<=>(const Bandwidth&) const = default;
};

inline constexpr size_t kMaxRelayEndpoints = 4;

struct RelayInfo {
  PeerId id;
  IdentityKey identity;
  PublicKey wireguard;
  std::vector<Endpoint> endpoints;  // 1..4; an EXTEND names one by its position
  // Behind a NAT: the endpoints are good only after one of these has introduced the caller (docs/protocol.md "Introductions").
  std::vector<PeerId> introducers;
  RelayFlags flags;
  Region region;
  Bandwidth bandwidth;  // claimed; in a node's Directory what it counts as (docs/decisions/0044)
  uint32_t as_number = 0;
  std::optional<IdentityKey> family;  // both directions verified
  PublicKey prekey;                   // for early data
  Wall created;                       // of the identity, hour-rounded
  Wall signed_at;                     // of the newest renewal
  Wall expiry;
};

}  // namespace macrovpn
