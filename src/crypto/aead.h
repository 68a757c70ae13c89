// ChaCha20-Poly1305 (RFC 8439) with a 64-bit counter as nonce, in place; XChaCha20-Poly1305 for cookie
// replies.
//
// Nonce layout, as WireGuard has it: four zero bytes, then the counter, little endian.
#pragma once
#include <memory>

#include "base/secret.h"

namespace macrovpn::crypto {

inline constexpr size_t kTagSize = 16;
using SymmetricKey = Secret<32>;

// Handshake-sized messages, one at a time.  seal: out.size() == plain.size() + kTagSize.  open: out.size() ==
// sealed.size() - kTagSize; false if the tag is wrong, out is then zeroed.  In and out may be the same bytes.
void aead_seal(const SymmetricKey&, uint64_t counter, Bytes ad, Bytes plain, MutBytes out);
bool aead_open(const SymmetricKey&, uint64_t counter, Bytes ad, Bytes sealed, MutBytes out);
void xaead_seal(const SymmetricKey&, const ByteArray<24>& nonce, Bytes ad, Bytes plain, MutBytes out);
bool xaead_open(const SymmetricKey&, const ByteArray<24>& nonce, Bytes ad, Bytes sealed, MutBytes out);

// One packet of a data-plane batch.  data[0, size) is the plain text, data[size, size + 16) the tag.
struct AeadJob {
  const SymmetricKey* key = nullptr;
  uint64_t counter = 0;
  uint8_t* data = nullptr;
  uint32_t size = 0;
  bool ok = false;  // after open: whether the tag was right; after seal: true
};

// Seals and opens batches: libipsec-mb's multi-buffer jobs where the processor has AVX-512, else OpenSSL
// (bench: `./bench`).  Holds scratch state only, no key.  Not thread safe: one a shard.
class AeadBatch {
 public:
  enum class Engine : uint8_t { automatic, openssl, ipsec_mb };
  explicit AeadBatch(Engine engine = Engine::automatic);
  ~AeadBatch();
  AeadBatch(AeadBatch&&) noexcept;
  void seal(std::span<AeadJob> jobs);
  void open(std::span<AeadJob> jobs);
  Engine engine() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace macrovpn::crypto
