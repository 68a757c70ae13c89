#include "crypto/mask.h"

#include <openssl/evp.h>

namespace macrovpn::crypto {
namespace {

// EVP_chacha20() and the like look their cipher up at each use, under locks; a handshake's mask is a few blocks only.
const EVP_CIPHER* find_once(const char* name) {
  EVP_CIPHER* const found = EVP_CIPHER_fetch(nullptr, name, nullptr);
  MV_ASSERT(found != nullptr);
  return found;
}
const EVP_CIPHER* aes_ecb() {
  static const EVP_CIPHER* const cipher = find_once("AES-128-ECB");
  return cipher;
}
const EVP_CIPHER* chacha20() {
  static const EVP_CIPHER* const cipher = find_once("ChaCha20");
  return cipher;
}

}  // namespace

struct AesBlock::Impl {
  EVP_CIPHER_CTX* enc = EVP_CIPHER_CTX_new();
  EVP_CIPHER_CTX* dec = EVP_CIPHER_CTX_new();
  ~Impl() {
    EVP_CIPHER_CTX_free(enc);
    EVP_CIPHER_CTX_free(dec);
  }
};

AesBlock::AesBlock(const ByteArray<16>& key) : impl_(std::make_unique<Impl>()) {
  MV_ASSERT(EVP_EncryptInit_ex(impl_->enc, aes_ecb(), nullptr, key.data(), nullptr) == 1 &&
            EVP_DecryptInit_ex(impl_->dec, aes_ecb(), nullptr, key.data(), nullptr) == 1);
  EVP_CIPHER_CTX_set_padding(impl_->enc, 0);
  EVP_CIPHER_CTX_set_padding(impl_->dec, 0);
}
AesBlock::~AesBlock() = default;
AesBlock::AesBlock(AesBlock&&) noexcept = default;
AesBlock& AesBlock::operator=(AesBlock&&) noexcept = default;

void AesBlock::encrypt(uint8_t* block) const {
  int n = 0;
  MV_ASSERT(EVP_EncryptUpdate(impl_->enc, block, &n, block, 16) == 1 && n == 16);
}
void AesBlock::decrypt(uint8_t* block) const {
  int n = 0;
  MV_ASSERT(EVP_DecryptUpdate(impl_->dec, block, &n, block, 16) == 1 && n == 16);
}

void chacha20_xor(const ByteArray<32>& key, const ByteArray<16>& nonce16, MutBytes data) {
  EVP_CIPHER_CTX* c = EVP_CIPHER_CTX_new();
  int n = 0;
  MV_ASSERT(c != nullptr && EVP_EncryptInit_ex(c, chacha20(), nullptr, key.data(), nonce16.data()) == 1 &&
            EVP_EncryptUpdate(c, data.data(), &n, data.data(), static_cast<int>(data.size())) == 1);
  EVP_CIPHER_CTX_free(c);
}

}  // namespace macrovpn::crypto
