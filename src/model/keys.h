// Public keys, each of its own type.
#pragma once
#include <compare>

#include "base/secret.h"

namespace macrovpn {

// An X25519 public key: a WireGuard static key, an ephemeral, or a prekey (RFC 7748).
struct PublicKey {
  ByteArray<32> bytes{};
  auto operator<=>(const PublicKey&) const = default;
};
// An Ed25519 public key: who a relay is, for years (RFC 8032).
struct IdentityKey {
  ByteArray<32> bytes{};
  auto operator<=>(const IdentityKey&) const = default;
};
using PrivateKey = Secret<32>;

struct KeyPair {
  PrivateKey secret;
  PublicKey pub;
};

// A relay's name: the first 20 bytes of BLAKE2b-160 of its identity key.
struct PeerId {
  ByteArray<20> bytes{};
  auto operator<=>(const PeerId&) const = default;
};

}  // namespace macrovpn

template <>
struct std::hash<macrovpn::PeerId> {
  size_t operator()(const macrovpn::PeerId& id) const noexcept {
    return macrovpn::load_le64(id.bytes.data());
  }
};
