// BLAKE2s and BLAKE2b (RFC 7693), HMAC and HKDF over BLAKE2s as WireGuard uses them (whitepaper §5.4).
#pragma once
#include <initializer_list>

#include "base/secret.h"

namespace macrovpn::crypto {

using Hash32 = ByteArray<32>;
using Mac16 = ByteArray<16>;

// The parts are hashed one after the other, as if joined.
Hash32 blake2s(std::initializer_list<Bytes> parts);
Mac16 keyed_blake2s_128(Bytes key,
                        std::initializer_list<Bytes> parts);  // key: 1..32 bytes; WireGuard's MAC()
Hash32 keyed_blake2s_256(Bytes key, std::initializer_list<Bytes> parts);
ByteArray<20> blake2b_160(std::initializer_list<Bytes> parts);
Hash32 blake2b_256(std::initializer_list<Bytes> parts);

Secret<32> hmac_blake2s(Bytes key, std::initializer_list<Bytes> parts);  // RFC 2104
// HKDF (RFC 5869) with empty info: n outputs of 32 bytes, n <= 3.
struct HkdfOutputs {
  Secret<32> t1, t2, t3;
};
HkdfOutputs hkdf_blake2s(Bytes salt, Bytes input, int outputs);

}  // namespace macrovpn::crypto
