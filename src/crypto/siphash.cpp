#include "crypto/siphash.h"

#include <sodium.h>

namespace macrovpn::crypto {

Sip128 siphash128(const ByteArray<16>& key, Bytes b) {
  uint8_t out[crypto_shorthash_siphashx24_BYTES];
  crypto_shorthash_siphashx24(out, b.data(), b.size(), key.data());
  return {load_le64(out), load_le64(out + 8)};
}

}  // namespace macrovpn::crypto
