// Bytes locked with a passphrase: Argon2id (RFC 9106) makes the key, XSalsa20-Poly1305 (libsodium's
// secretbox) the box.
//
//   passes 4 | memory in KiB 4 | salt 16 | nonce 24 | box: contents + 16
//
// The cost travels with the box, so that it can rise later; open() bounds what a stranger's box may ask of
// us.
#pragma once
#include <string_view>

#include "base/result.h"
#include "base/rng.h"

namespace macrovpn::crypto {

struct PassphraseCost {
  uint32_t passes = 3;
  uint32_t memory_kib = 256 * 1024;  // libsodium's "moderate": most of a second on a desktop computer
};
inline constexpr PassphraseCost kMaxPassphraseCost{16, 1024 * 1024};

enum class PassphraseError : uint8_t { malformed, wrong_passphrase, out_of_memory };

Result<std::vector<uint8_t>, PassphraseError> lock_with_passphrase(std::string_view passphrase,
                                                                   Bytes contents, Rng&, PassphraseCost = {});
Result<std::vector<uint8_t>, PassphraseError> unlock_with_passphrase(std::string_view passphrase, Bytes box);

}  // namespace macrovpn::crypto
