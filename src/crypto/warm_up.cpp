#include "crypto/warm_up.h"

#include "crypto/aead.h"
#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "crypto/mask.h"
#include "crypto/x25519.h"

namespace macrovpn::crypto {

void warm_up() {
  SeededRng rng(1);
  const KeyPair a = x25519_generate(rng), b = x25519_generate(rng);
  static_cast<void>(x25519(a.secret, b.pub));
  static_cast<void>(ed25519_verify(IdentityKey{a.pub.bytes}, {}, Signature{}));
  static_cast<void>(blake2b_256({hkdf_blake2s(a.pub.bytes, b.pub.bytes, 3).t1.reveal()}));
  ByteArray<48> bytes{};
  aead_seal(a.secret, 0, {}, MutBytes(bytes).first(32), bytes);
  AesBlock(rng.bytes<16>()).encrypt(bytes.data());
  chacha20_xor(rng.bytes<32>(), rng.bytes<16>(), bytes);
}

}  // namespace macrovpn::crypto
