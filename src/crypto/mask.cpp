#include "crypto/mask.h"

#include <openssl/evp.h>

#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/secret.h"

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
#if defined(__x86_64__)
  static constexpr int kRounds = 10;
  __m128i forth[kRounds + 1], back[kRounds + 1];
#endif
  EVP_CIPHER_CTX* enc = nullptr;
  EVP_CIPHER_CTX* dec = nullptr;
  ~Impl() {
#if defined(__x86_64__)
    wipe(forth, sizeof forth);
    wipe(back, sizeof back);
#endif
    EVP_CIPHER_CTX_free(enc);
    EVP_CIPHER_CTX_free(dec);
  }
};

// One block is eleven instructions of most processors, and OpenSSL's way to them ten times as long, twice for each packet of
// a relay.
#if defined(__x86_64__)
#define MV_AES __attribute__((target("aes,sse4.1")))

namespace {

bool has_instructions() {
  static const bool has = __builtin_cpu_supports("aes") && __builtin_cpu_supports("sse4.1");
  return has;
}

// FIPS 197 §5.2; Intel, "Advanced Encryption Standard (AES) New Instructions Set", 2010.
template <int Constant>
MV_AES __m128i next_round_key(__m128i key) {
  const __m128i word = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, Constant), 0xff);
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
  return _mm_xor_si128(key, word);
}

MV_AES void expand(const ByteArray<16>& key, __m128i* forth, __m128i* back) {
  std::memcpy(&forth[0], key.data(), 16);
  forth[1] = next_round_key<0x01>(forth[0]);
  forth[2] = next_round_key<0x02>(forth[1]);
  forth[3] = next_round_key<0x04>(forth[2]);
  forth[4] = next_round_key<0x08>(forth[3]);
  forth[5] = next_round_key<0x10>(forth[4]);
  forth[6] = next_round_key<0x20>(forth[5]);
  forth[7] = next_round_key<0x40>(forth[6]);
  forth[8] = next_round_key<0x80>(forth[7]);
  forth[9] = next_round_key<0x1b>(forth[8]);
  forth[10] = next_round_key<0x36>(forth[9]);
  back[0] = forth[10];
  for (int i = 1; i < 10; i++) back[i] = _mm_aesimc_si128(forth[10 - i]);
  back[10] = forth[0];
}

MV_AES void run_forth(const __m128i* keys, uint8_t* block) {
  __m128i b;
  std::memcpy(&b, block, 16);
  b = _mm_xor_si128(b, keys[0]);
  for (int i = 1; i < 10; i++) b = _mm_aesenc_si128(b, keys[i]);
  b = _mm_aesenclast_si128(b, keys[10]);
  std::memcpy(block, &b, 16);
}

MV_AES void run_back(const __m128i* keys, uint8_t* block) {
  __m128i b;
  std::memcpy(&b, block, 16);
  b = _mm_xor_si128(b, keys[0]);
  for (int i = 1; i < 10; i++) b = _mm_aesdec_si128(b, keys[i]);
  b = _mm_aesdeclast_si128(b, keys[10]);
  std::memcpy(block, &b, 16);
}

}  // namespace
#endif

AesBlock::AesBlock(const ByteArray<16>& key, Engine engine) : impl_(std::make_unique<Impl>()) {
#if defined(__x86_64__)
  if (engine == Engine::automatic && has_instructions()) {
    expand(key, impl_->forth, impl_->back);
    return;
  }
#endif
  static_cast<void>(engine);
  impl_->enc = EVP_CIPHER_CTX_new();
  impl_->dec = EVP_CIPHER_CTX_new();
  MV_ASSERT(EVP_EncryptInit_ex(impl_->enc, aes_ecb(), nullptr, key.data(), nullptr) == 1 &&
            EVP_DecryptInit_ex(impl_->dec, aes_ecb(), nullptr, key.data(), nullptr) == 1);
  EVP_CIPHER_CTX_set_padding(impl_->enc, 0);
  EVP_CIPHER_CTX_set_padding(impl_->dec, 0);
}
AesBlock::~AesBlock() = default;
AesBlock::AesBlock(AesBlock&&) noexcept = default;
AesBlock& AesBlock::operator=(AesBlock&&) noexcept = default;

void AesBlock::encrypt(uint8_t* block) const {
#if defined(__x86_64__)
  if (impl_->enc == nullptr) return run_forth(impl_->forth, block);
#endif
  int n = 0;
  MV_ASSERT(EVP_EncryptUpdate(impl_->enc, block, &n, block, 16) == 1 && n == 16);
}
void AesBlock::decrypt(uint8_t* block) const {
#if defined(__x86_64__)
  if (impl_->dec == nullptr) return run_back(impl_->back, block);
#endif
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
