// The body of a descriptor: what descriptor.h calls "TLV".  Parsing checks the form only (order, lengths,
// values that can mean something); signatures, times and the network are checked by descriptor.cpp.
#pragma once
#include "core/discovery/descriptor.h"
#include "model/relay_details.h"

namespace macrovpn::discovery {

inline constexpr uint8_t kBodyVersion = 1;

enum class Tag : uint8_t {
  version = 1,
  network = 2,
  identity = 3,
  wireguard = 4,
  flags = 5,
  endpoints = 6,
  created = 7,
  region = 8,
  as_number = 9,
  bandwidth = 10,
  family = 11,  // 12 to 18: details.h
};

struct Body {
  RelayInfo relay;  // identity, wireguard, endpoints, flags, region, bandwidth, as_number, created
  NetworkId network;
  std::optional<FamilyProof> family;
  RelayDetails details;
};

Result<Body> parse_body(Bytes body);

// Bandwidth as one byte: 4 * log2, that is an exponent and two bits below the leading one.
uint8_t encode_bandwidth(Bandwidth);
Bandwidth decode_bandwidth(uint8_t);

}  // namespace macrovpn::discovery
