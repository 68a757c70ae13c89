#include "crypto/aead.h"

#include <openssl/evp.h>
#include <sodium.h>

namespace macrovpn::crypto {
namespace {

ByteArray<12> nonce_of(uint64_t counter) {
  ByteArray<12> n{};
  store_le64(&n[4], counter);
  return n;
}

}  // namespace

void aead_seal(const SymmetricKey& key, uint64_t counter, Bytes ad, Bytes plain, MutBytes out) {
  MV_ASSERT(out.size() == plain.size() + kTagSize);
  const auto nonce = nonce_of(counter);
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(), ad.data(),
                                            ad.size(), nullptr, nonce.data(), key.reveal().data());
}

bool aead_open(const SymmetricKey& key, uint64_t counter, Bytes ad, Bytes sealed, MutBytes out) {
  if (sealed.size() < kTagSize) return false;
  MV_ASSERT(out.size() == sealed.size() - kTagSize);
  const auto nonce = nonce_of(counter);
  return crypto_aead_chacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                   ad.data(), ad.size(), nonce.data(),
                                                   key.reveal().data()) == 0;
}

void xaead_seal(const SymmetricKey& key, const ByteArray<24>& nonce, Bytes ad, Bytes plain, MutBytes out) {
  MV_ASSERT(out.size() == plain.size() + kTagSize);
  crypto_aead_xchacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(), ad.data(),
                                             ad.size(), nullptr, nonce.data(), key.reveal().data());
}

bool xaead_open(const SymmetricKey& key, const ByteArray<24>& nonce, Bytes ad, Bytes sealed, MutBytes out) {
  if (sealed.size() < kTagSize) return false;
  MV_ASSERT(out.size() == sealed.size() - kTagSize);
  return crypto_aead_xchacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, sealed.data(),
                                                    sealed.size(), ad.data(), ad.size(), nonce.data(),
                                                    key.reveal().data()) == 0;
}

}  // namespace macrovpn::crypto
