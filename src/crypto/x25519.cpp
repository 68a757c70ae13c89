#include "crypto/x25519.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <utility>

namespace macrovpn::crypto {
namespace {

// Of every private key: X25519 with it gives the public key.
constexpr PublicKey kBasePoint{{9}};

OSSL_PARAM bytes_param(const char* name, Bytes b) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<uint8_t*>(b.data()), b.size());  // only read
}

}  // namespace

// `theirs` is bound to the exchange once and its bytes change in place: to bind a new one each time is the dearest
// part of an exchange after the arithmetic.  The tests with published vectors use one object with several peers.
struct DhKey::Impl {
  EVP_PKEY_CTX* maker = EVP_PKEY_CTX_new_from_name(nullptr, "X25519", nullptr);
  EVP_PKEY* theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, kBasePoint.bytes.data(), 32);
  EVP_PKEY* ours = nullptr;  // in OpenSSL's memory, which it wipes
  EVP_PKEY_CTX* exchange = nullptr;

  Impl() { MV_ASSERT(theirs != nullptr && maker != nullptr && EVP_PKEY_fromdata_init(maker) == 1); }
  ~Impl() {
    forget();
    EVP_PKEY_free(theirs);
    EVP_PKEY_CTX_free(maker);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void forget() {
    EVP_PKEY_CTX_free(std::exchange(exchange, nullptr));
    EVP_PKEY_free(std::exchange(ours, nullptr));
  }
  // OpenSSL works out the public key of a private one that comes without, which costs more than an exchange and is
  // not needed for one.  So it is given one, any: it does nothing with it.
  void set(const PrivateKey& k) {
    forget();
    OSSL_PARAM params[] = {bytes_param(OSSL_PKEY_PARAM_PRIV_KEY, k.reveal()),
                           bytes_param(OSSL_PKEY_PARAM_PUB_KEY, kBasePoint.bytes), OSSL_PARAM_construct_end()};
    MV_ASSERT(EVP_PKEY_fromdata(maker, &ours, EVP_PKEY_KEYPAIR, params) == 1);
    exchange = EVP_PKEY_CTX_new(ours, nullptr);
    MV_ASSERT(exchange != nullptr && EVP_PKEY_derive_init(exchange) == 1 &&
              EVP_PKEY_derive_set_peer_ex(exchange, theirs, 0) == 1);
  }
};

DhKey::DhKey() : impl_(std::make_unique<Impl>()) {}
DhKey::DhKey(const PrivateKey& k) : DhKey() {
  set(k);
}
DhKey::~DhKey() = default;
DhKey::DhKey(DhKey&&) noexcept = default;
DhKey& DhKey::operator=(DhKey&&) noexcept = default;

void DhKey::set(const PrivateKey& k) {
  impl_->set(k);
}
void DhKey::draw(Rng& rng) {
  PrivateKey secret;
  rng.fill(secret.fill());
  set(secret);
}
void DhKey::forget() {
  impl_->forget();
}

Result<Secret<32>, DhError> DhKey::shared_with(const PublicKey& theirs) const {
  MV_ASSERT(impl_->exchange != nullptr);
  Secret<32> out;
  size_t n = 32;
  // OpenSSL itself fails on an all-zero result.
  if (EVP_PKEY_set1_encoded_public_key(impl_->theirs, theirs.bytes.data(), 32) != 1 ||
      EVP_PKEY_derive(impl_->exchange, out.fill().data(), &n) != 1 || n != 32 || out.is_zero()) {
    return Failure{DhError::low_order_point};
  }
  return out;
}

PublicKey DhKey::public_key() const {
  const auto shared = shared_with(kBasePoint);
  MV_ASSERT(shared.ok());
  return {*to_array<32>(shared->reveal())};
}

KeyPair x25519_from_secret(const PrivateKey& secret) {
  KeyPair out;
  out.secret = secret;
  const auto b = out.secret.fill();
  b[0] &= 248;
  b[31] = static_cast<uint8_t>((b[31] & 127) | 64);
  out.pub = DhKey(out.secret).public_key();
  return out;
}

KeyPair x25519_generate(Rng& rng) {
  PrivateKey secret;
  rng.fill(secret.fill());
  return x25519_from_secret(secret);
}

Result<Secret<32>, DhError> x25519(const PrivateKey& ours, const PublicKey& theirs) {
  return DhKey(ours).shared_with(theirs);
}

bool is_low_order(const PublicKey& key) {
  // Clamped scalars are multiples of 8, so any of them takes such a point to zero.
  return !x25519(PrivateKey(ByteArray<32>{8}), key).ok();
}

}  // namespace macrovpn::crypto
