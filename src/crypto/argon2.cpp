#include "crypto/argon2.h"

#include <sodium.h>

namespace macrovpn::crypto {

static_assert(crypto_pwhash_SALTBYTES == 16);

std::optional<Hash32> argon2id(Bytes password, const ByteArray<16>& salt, Argon2Cost cost) {
  MV_ASSERT(cost.passes >= crypto_pwhash_OPSLIMIT_MIN && cost.memory_kib >= crypto_pwhash_MEMLIMIT_MIN / 1024);
  Hash32 out;
  if (sodium_init() < 0 ||
      crypto_pwhash(out.data(), out.size(), reinterpret_cast<const char*>(password.data()), password.size(),
                    salt.data(), cost.passes, size_t{cost.memory_kib} * 1024, crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return std::nullopt;
  }
  return out;
}

}  // namespace macrovpn::crypto
