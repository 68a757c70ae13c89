// X25519 (RFC 7748).
#pragma once
#include "base/result.h"
#include "base/rng.h"
#include "model/keys.h"

namespace macrovpn::crypto {

KeyPair x25519_generate(Rng&);
KeyPair x25519_from_secret(const PrivateKey&);  // clamps
enum class DhError : uint8_t { low_order_point };
// The shared secret; fails if it is all zero, that is if `theirs` is a point of low order.
Result<Secret<32>, DhError> x25519(const PrivateKey& ours, const PublicKey& theirs);

// Whether a key is one of the few points of low order, with which no secret can be shared.
bool is_low_order(const PublicKey&);

}  // namespace macrovpn::crypto
