// Argon2id (RFC 9106), one lane: libsodium's, since OpenSSL has it only from 3.2 on (docs/decisions/0033).
#pragma once
#include <optional>

#include "crypto/hash.h"

namespace macrovpn::crypto {

struct Argon2Cost {
  uint32_t passes = 1;             // 1 or more
  uint32_t memory_kib = 16 * 1024;  // 8 or more; so much is allocated for the time of the call
};

// Nothing if there is no memory for it.  About 19 ms at 16 MiB.
std::optional<Hash32> argon2id(Bytes password, const ByteArray<16>& salt, Argon2Cost);

}  // namespace macrovpn::crypto
