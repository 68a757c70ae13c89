#include "crypto/ed25519.h"

#include <openssl/evp.h>

#include <memory>

namespace macrovpn::crypto {
namespace {

struct Free {
  void operator()(EVP_PKEY* k) const { EVP_PKEY_free(k); }
  void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Context = std::unique_ptr<EVP_MD_CTX, Free>;

Key load_seed(const Secret<32>& seed) {
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.reveal().data(), 32));
  MV_ASSERT(key != nullptr);
  return key;
}

}  // namespace

SigningKey ed25519_from_seed(const Secret<32>& seed) {
  SigningKey out{seed, {}};
  const Key key = load_seed(seed);
  size_t n = 32;
  MV_ASSERT(EVP_PKEY_get_raw_public_key(key.get(), out.pub.bytes.data(), &n) == 1 && n == 32);
  return out;
}

SigningKey ed25519_generate(Rng& rng) {
  Secret<32> seed;
  rng.fill(seed.fill());
  return ed25519_from_seed(seed);
}

Signature ed25519_sign(const SigningKey& signer, Bytes message) {
  const Key key = load_seed(signer.seed);
  const Context context(EVP_MD_CTX_new());
  Signature out;
  size_t n = out.size();
  MV_ASSERT(context != nullptr &&
            EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
            EVP_DigestSign(context.get(), out.data(), &n, message.data(), message.size()) == 1 && n == 64);
  return out;
}

bool ed25519_verify(const IdentityKey& signer, Bytes message, const Signature& signature) {
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, signer.bytes.data(), 32));
  const Context context(EVP_MD_CTX_new());
  return key != nullptr && context != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                          message.size()) == 1;
}

}  // namespace macrovpn::crypto
