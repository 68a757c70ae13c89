// RelayDetails: what a relay's descriptor says beyond what every path needs (model/relay.h).  All of it is
// optional; docs/protocol.md "Descriptor" has the bytes.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "model/keys.h"

namespace macrovpn {

// Versions of the protocol that a relay speaks, the lowest and the highest.
struct ProtocolVersions {
  uint8_t lowest = 1, highest = 1;
  auto operator<=>(const ProtocolVersions&) const = default;
};

// What a token buys: 2^exponent bytes, whether of this relay or of another in its class.  A class, no exact price,
// so that a price does not name a relay.  1..63.
struct PriceClass {
  uint8_t exponent = 0;
  uint64_t bytes_per_token() const { return uint64_t{1} << exponent; }
  auto operator<=>(const PriceClass&) const = default;
};

struct PortRange {
  uint16_t low = 0, high = 0;  // both belong to it
  auto operator<=>(const PortRange&) const = default;
};

// Where an exit goes, by port.  Private addresses, other relays and the exit's own networks are never among it.
struct ExitPorts {
  enum class Kind : uint8_t { listed = 0, all_but_mail = 1, web = 2 };  // web: 80 and 443
  Kind kind = Kind::all_but_mail;
  std::vector<PortRange> ranges;  // of `listed` only: 1..16, ascending, not touching each other
  bool allows(uint16_t port) const;
  auto operator<=>(const ExitPorts&) const = default;
};

// WebSocket over TLS, for those whose UDP is blocked: on the relay's first address.
struct TlsEntry {
  uint16_t port = 0;
  ByteArray<32> certificate{};  // SHA-256 of the certificate as DER; nobody else vouches for it
  std::string server_name;      // what the caller says in the open: letters of a host name, 1..63
  auto operator<=>(const TlsEntry&) const = default;
};

// Proof of work (core/discovery/work.h).
struct WorkProof {
  uint16_t epoch = 0;  // of 30 days, since 1970
  uint64_t nonce = 0;
  uint64_t rank = 0;  // first 8 bytes of the hash, as a big-endian number: claimed until it was checked
  auto operator<=>(const WorkProof&) const = default;
};

// What a relay measured of another (core/discovery/bandwidth_check.h).
struct MeasuredRelay {
  uint64_t target = 0;  // the first 8 bytes of its id, as a big-endian number
  uint8_t value = 0;    // 0: it did not let itself be measured; else core/discovery/measured.h
  auto operator<=>(const MeasuredRelay&) const = default;
};
// Of one week and of the one before it.
struct MeasuredRelays {
  uint16_t week = 0;  // the low bits of its number
  std::vector<MeasuredRelay> now, before;  // targets ascending; never none now, kMaxMeasured together
  auto operator<=>(const MeasuredRelays&) const = default;
};

inline constexpr size_t kMaxMeasured = 24;
inline constexpr size_t kMaxIntroducers = 3;
inline constexpr size_t kMaxPortRanges = 16;
inline constexpr size_t kMaxServerName = 63;

struct RelayDetails {
  ProtocolVersions protocols;
  std::vector<PeerId> introducers;  // through whom a relay behind a NAT is reached
  std::optional<PriceClass> price;  // nothing: free
  ExitPorts exit_ports;
  std::optional<TlsEntry> tls;
  std::optional<WorkProof> work;
  std::optional<MeasuredRelays> measured;  // nothing: of nobody
  auto operator<=>(const RelayDetails&) const = default;
};

}  // namespace macrovpn
