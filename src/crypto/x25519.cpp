#include "crypto/x25519.h"

#include <openssl/evp.h>

#include <memory>

namespace macrovpn::crypto {
namespace {

struct FreeKey {
  void operator()(EVP_PKEY* k) const { EVP_PKEY_free(k); }
  void operator()(EVP_PKEY_CTX* c) const { EVP_PKEY_CTX_free(c); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;
using Context = std::unique_ptr<EVP_PKEY_CTX, FreeKey>;

Key load_private(const PrivateKey& k) {
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, k.reveal().data(), 32));
  MV_ASSERT(key != nullptr);
  return key;
}

}  // namespace

KeyPair x25519_from_secret(const PrivateKey& secret) {
  KeyPair out;
  out.secret = secret;
  const auto b = out.secret.fill();
  b[0] &= 248;
  b[31] = static_cast<uint8_t>((b[31] & 127) | 64);
  const Key key = load_private(out.secret);
  size_t n = 32;
  MV_ASSERT(EVP_PKEY_get_raw_public_key(key.get(), out.pub.bytes.data(), &n) == 1 && n == 32);
  return out;
}

KeyPair x25519_generate(Rng& rng) {
  PrivateKey secret;
  rng.fill(secret.fill());
  return x25519_from_secret(secret);
}

Result<Secret<32>, DhError> x25519(const PrivateKey& ours, const PublicKey& theirs) {
  const Key a = load_private(ours);
  const Key b(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, theirs.bytes.data(), 32));
  const Context context(EVP_PKEY_CTX_new(a.get(), nullptr));
  Secret<32> out;
  size_t n = 32;
  // OpenSSL itself fails on an all-zero result.
  if (b == nullptr || context == nullptr || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), b.get()) != 1 ||
      EVP_PKEY_derive(context.get(), out.fill().data(), &n) != 1 || n != 32 || out.is_zero()) {
    return Failure{DhError::low_order_point};
  }
  return out;
}

bool is_low_order(const PublicKey& key) {
  // Clamped scalars are multiples of 8, so any of them takes such a point to zero.
  return !x25519(PrivateKey(ByteArray<32>{8}), key).ok();
}

}  // namespace macrovpn::crypto
