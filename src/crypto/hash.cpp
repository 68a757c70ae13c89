#include "crypto/hash.h"

#include <blake2.h>

namespace macrovpn::crypto {
namespace {

template <size_t N>
ByteArray<N> run_blake2s(Bytes key, std::initializer_list<Bytes> parts) {
  MV_ASSERT(key.size() <= 32);
  blake2s_state s;
  const int started = key.empty() ? blake2s_init(&s, N) : blake2s_init_key(&s, N, key.data(), key.size());
  MV_ASSERT(started == 0);
  for (const Bytes p : parts) blake2s_update(&s, p.data(), p.size());
  ByteArray<N> out;
  blake2s_final(&s, out.data(), N);
  wipe(&s, sizeof s);
  return out;
}

template <size_t N>
ByteArray<N> run_blake2b(std::initializer_list<Bytes> parts) {
  blake2b_state s;
  MV_ASSERT(blake2b_init(&s, N) == 0);
  for (const Bytes p : parts) blake2b_update(&s, p.data(), p.size());
  ByteArray<N> out;
  blake2b_final(&s, out.data(), N);
  return out;
}

}  // namespace

Hash32 blake2s(std::initializer_list<Bytes> parts) {
  return run_blake2s<32>({}, parts);
}
Mac16 keyed_blake2s_128(Bytes key, std::initializer_list<Bytes> parts) {
  return run_blake2s<16>(key, parts);
}
Hash32 keyed_blake2s_256(Bytes key, std::initializer_list<Bytes> parts) {
  return run_blake2s<32>(key, parts);
}
ByteArray<20> blake2b_160(std::initializer_list<Bytes> parts) {
  return run_blake2b<20>(parts);
}
Hash32 blake2b_256(std::initializer_list<Bytes> parts) {
  return run_blake2b<32>(parts);
}

Secret<32> hmac_blake2s(Bytes key, std::initializer_list<Bytes> parts) {
  Secret<64> block;
  if (key.size() > 64) {
    const Hash32 hashed = blake2s({key});
    std::copy(hashed.begin(), hashed.end(), block.fill().begin());
  } else {
    std::copy(key.begin(), key.end(), block.fill().begin());
  }
  for (uint8_t& b : block.fill()) b ^= 0x36;
  blake2s_state s;
  blake2s_init(&s, 32);
  blake2s_update(&s, block.reveal().data(), 64);
  for (const Bytes p : parts) blake2s_update(&s, p.data(), p.size());
  Secret<32> inner;
  blake2s_final(&s, inner.fill().data(), 32);
  wipe(&s, sizeof s);
  for (uint8_t& b : block.fill()) b ^= 0x36 ^ 0x5c;
  return Secret<32>(blake2s({block.reveal(), inner.reveal()}));
}

HkdfOutputs hkdf_blake2s(Bytes salt, Bytes input, int outputs) {
  MV_ASSERT(outputs >= 1 && outputs <= 3);
  const Secret<32> prk = hmac_blake2s(salt, {input});
  HkdfOutputs out;
  const uint8_t one = 1, two = 2, three = 3;
  out.t1 = hmac_blake2s(prk.reveal(), {Bytes(&one, 1)});
  if (outputs >= 2) out.t2 = hmac_blake2s(prk.reveal(), {out.t1.reveal(), Bytes(&two, 1)});
  if (outputs >= 3) out.t3 = hmac_blake2s(prk.reveal(), {out.t2.reveal(), Bytes(&three, 1)});
  return out;
}

}  // namespace macrovpn::crypto
