#include "crypto/passphrase.h"

#include <sodium.h>

#include "base/secret.h"

namespace macrovpn::crypto {
namespace {

using Buffer = std::vector<uint8_t>;
constexpr size_t kSalt = crypto_pwhash_SALTBYTES, kNonce = crypto_secretbox_NONCEBYTES;
constexpr size_t kHeader = 4 + 4 + kSalt + kNonce;

bool derive(Secret<32>& key, std::string_view passphrase, const uint8_t* salt, PassphraseCost cost) {
  return sodium_init() >= 0 &&
         crypto_pwhash(key.fill().data(), 32, passphrase.data(), passphrase.size(), salt, cost.passes,
                       size_t{cost.memory_kib} * 1024, crypto_pwhash_ALG_ARGON2ID13) == 0;
}

}  // namespace

Result<Buffer, PassphraseError> lock_with_passphrase(std::string_view passphrase, Bytes contents, Rng& rng,
                                                     PassphraseCost cost) {
  Buffer out;
  const auto salt = rng.bytes<kSalt>();
  const auto nonce = rng.bytes<kNonce>();
  Writer(out).le32(cost.passes).le32(cost.memory_kib).bytes(salt).bytes(nonce);
  Secret<32> key;
  if (!derive(key, passphrase, salt.data(), cost)) return Failure{PassphraseError::out_of_memory};
  out.resize(kHeader + crypto_secretbox_MACBYTES + contents.size());
  crypto_secretbox_easy(out.data() + kHeader, contents.data(), contents.size(), nonce.data(),
                        key.reveal().data());
  return out;
}

Result<Buffer, PassphraseError> unlock_with_passphrase(std::string_view passphrase, Bytes box) {
  if (box.size() < kHeader + crypto_secretbox_MACBYTES) return Failure{PassphraseError::malformed};
  const PassphraseCost cost{load_le32(box.data()), load_le32(box.data() + 4)};
  if (cost.passes < crypto_pwhash_OPSLIMIT_MIN || cost.passes > kMaxPassphraseCost.passes ||
      cost.memory_kib < crypto_pwhash_MEMLIMIT_MIN / 1024 ||
      cost.memory_kib > kMaxPassphraseCost.memory_kib) {
    return Failure{PassphraseError::malformed};
  }
  Secret<32> key;
  if (!derive(key, passphrase, box.data() + 8, cost)) return Failure{PassphraseError::out_of_memory};
  Buffer out(box.size() - kHeader - crypto_secretbox_MACBYTES);
  if (crypto_secretbox_open_easy(out.data(), box.data() + kHeader, box.size() - kHeader,
                                 box.data() + 8 + kSalt, key.reveal().data()) != 0) {
    return Failure{PassphraseError::wrong_passphrase};
  }
  return out;
}

}  // namespace macrovpn::crypto
