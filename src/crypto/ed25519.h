// Ed25519 (RFC 8032).  Every message that is signed starts with a label of ours, "macrovpn <what> 1", so that
// a signature made for one purpose means nothing for another.
#pragma once
#include "base/rng.h"
#include "model/keys.h"

namespace macrovpn::crypto {

using Signature = ByteArray<64>;
struct SigningKey {
  Secret<32> seed;
  IdentityKey pub;
};
SigningKey ed25519_generate(Rng&);
SigningKey ed25519_from_seed(const Secret<32>& seed);
Signature ed25519_sign(const SigningKey&, Bytes message);
bool ed25519_verify(const IdentityKey&, Bytes message, const Signature&);

}  // namespace macrovpn::crypto
