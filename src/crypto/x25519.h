// X25519 (RFC 7748).
#pragma once
#include <memory>

#include "base/result.h"
#include "base/rng.h"
#include "model/keys.h"

namespace macrovpn::crypto {

KeyPair x25519_generate(Rng&);
KeyPair x25519_from_secret(const PrivateKey&);  // clamps
enum class DhError : uint8_t { low_order_point };

// A private key made ready for exchanges.  Making ready costs some 10 us, half of that in an object that was used
// before, and an exchange 38: who uses a key again keeps this.  Not thread safe.
class DhKey {
 public:
  DhKey();  // none yet
  explicit DhKey(const PrivateKey&);
  ~DhKey();
  DhKey(DhKey&&) noexcept;
  DhKey& operator=(DhKey&&) noexcept;
  void set(const PrivateKey&);
  void draw(Rng&);  // a fresh key
  void forget();    // wipes the key

  // The shared secret; fails if it is all zero, that is if `theirs` is a point of low order.
  Result<Secret<32>, DhError> shared_with(const PublicKey& theirs) const;
  PublicKey public_key() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// One exchange.
Result<Secret<32>, DhError> x25519(const PrivateKey& ours, const PublicKey& theirs);

// Whether a key is one of the few points of low order, with which no secret can be shared.
bool is_low_order(const PublicKey&);

}  // namespace macrovpn::crypto
