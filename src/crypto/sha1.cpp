#include "crypto/sha1.h"

#include <openssl/evp.h>

namespace macrovpn::crypto {

ByteArray<20> sha1(Bytes data) {
  ByteArray<20> out{};
  unsigned size = 0;
  MV_ASSERT(EVP_Digest(data.data(), data.size(), out.data(), &size, EVP_sha1(), nullptr) == 1 && size == out.size());
  return out;
}

}  // namespace macrovpn::crypto
