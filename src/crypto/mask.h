// The two primitives of the header mask (docs/protocol.md "Header mask"): one AES-128 block and a ChaCha20
// stream. Against signatures on the wire, not for secrecy: the keys follow from public keys.
#pragma once
#include <memory>

#include "base/bytes.h"

namespace macrovpn::crypto {

class AesBlock {
 public:
  // automatic: the processor's instructions, where it has them.
  enum class Engine : uint8_t { automatic, openssl };
  explicit AesBlock(const ByteArray<16>& key, Engine engine = Engine::automatic);
  ~AesBlock();
  AesBlock(AesBlock&&) noexcept;
  AesBlock& operator=(AesBlock&&) noexcept;
  void encrypt(uint8_t* block16) const;  // in place
  void decrypt(uint8_t* block16) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// XORs the ChaCha20 key stream (RFC 8439 §2.4) over data; nonce16 is block counter (4, little endian) and
// nonce (12).
void chacha20_xor(const ByteArray<32>& key, const ByteArray<16>& nonce16, MutBytes data);

}  // namespace macrovpn::crypto
