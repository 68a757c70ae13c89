#include <gtest/gtest.h>

#include "crypto/aead.h"
#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "crypto/mask.h"
#include "crypto/x25519.h"

namespace macrovpn::crypto {
namespace {

template <size_t N>
ByteArray<N> hex(const char* s) {
  return *to_array<N>(*from_hex(s));
}

// RFC 7748 §5.2 and §6.1
TEST(X25519, MatchesRfc7748) {
  const PrivateKey k(hex<32>("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"));
  const PublicKey u{hex<32>("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")};
  EXPECT_EQ(to_hex(x25519(k, u)->reveal()),
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  const KeyPair alice = x25519_from_secret(
      PrivateKey(hex<32>("77076d0a7318a57d3c16c17251b26645df1bfaf8b7c7d1c6b7b5c4b2c2e8f2b1")));
  const KeyPair bob = x25519_from_secret(
      PrivateKey(hex<32>("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")));
  EXPECT_EQ(to_hex(bob.pub.bytes), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  EXPECT_TRUE(*x25519(alice.secret, bob.pub) == *x25519(bob.secret, alice.pub));
}

// RFC 7748 §5.2 and §6.1, with one object: every exchange is with the peer that it names, under the newest key.
TEST(DhKey, ForgetsThePeerAndTheKeyBefore) {
  const PrivateKey first(hex<32>("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"));
  const PublicKey u{hex<32>("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")};
  const std::string shared = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552";
  DhKey key(first);
  EXPECT_EQ(to_hex(key.shared_with(u)->reveal()), shared);
  EXPECT_FALSE(key.shared_with(PublicKey{}).ok());
  EXPECT_EQ(to_hex(key.shared_with(u)->reveal()), shared);
  key.set(PrivateKey(hex<32>("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")));
  EXPECT_EQ(to_hex(key.public_key().bytes), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  EXPECT_NE(to_hex(key.shared_with(u)->reveal()), shared);
  key.forget();
  key.set(first);
  EXPECT_EQ(to_hex(key.shared_with(u)->reveal()), shared);
}

TEST(X25519, RefusesPointsOfLowOrder) {
  SeededRng rng(1);
  const KeyPair k = x25519_generate(rng);
  EXPECT_FALSE(x25519(k.secret, PublicKey{}).ok());
  PublicKey one{};
  one.bytes[0] = 1;
  EXPECT_FALSE(x25519(k.secret, one).ok());
}

// RFC 8032 §7.1, test 2
TEST(Ed25519, MatchesRfc8032) {
  const SigningKey k = ed25519_from_seed(
      Secret<32>(hex<32>("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")));
  EXPECT_EQ(to_hex(k.pub.bytes), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const ByteArray<1> message{0x72};
  const Signature s = ed25519_sign(k, message);
  EXPECT_EQ(to_hex(s),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  EXPECT_TRUE(ed25519_verify(k.pub, message, s));
  Signature bad = s;
  bad[3] ^= 1;
  EXPECT_FALSE(ed25519_verify(k.pub, message, bad));
}

// RFC 7693 appendices A and B
TEST(Blake2, MatchesRfc7693) {
  EXPECT_EQ(to_hex(blake2s({as_bytes("a"), as_bytes("bc")})),
            "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
}

// RFC 8439 §2.8.2 needs associated data and a nonce of its own; these are the counter form with none.
TEST(AeadBatch, EnginesAgreeWithEachOtherAndWithTheSingleFunction) {
  SeededRng rng(5);
  const SymmetricKey key(rng.bytes<32>());
  AeadBatch openssl(AeadBatch::Engine::openssl), mb(AeadBatch::Engine::ipsec_mb);
  std::vector<std::vector<uint8_t>> plain, a, b;
  for (size_t n : {0u, 1u, 15u, 16u, 17u, 63u, 64u, 65u, 255u, 1376u, 1440u, 1500u}) {
    plain.emplace_back(n + kTagSize);
    rng.fill(MutBytes(plain.back()).first(n));
  }
  a = b = plain;
  const auto jobs_of = [&](std::vector<std::vector<uint8_t>>& v) {
    std::vector<AeadJob> jobs;
    for (size_t i = 0; i < v.size(); i++)
      jobs.push_back({&key, 1000 + i, v[i].data(), static_cast<uint32_t>(v[i].size() - kTagSize), false});
    return jobs;
  };
  auto ja = jobs_of(a), jb = jobs_of(b);
  openssl.seal(ja);
  mb.seal(jb);
  EXPECT_EQ(a, b);
  for (size_t i = 0; i < a.size(); i++) {
    std::vector<uint8_t> one(a[i].size());
    aead_seal(key, 1000 + i, {}, Bytes(plain[i]).first(plain[i].size() - kTagSize), one);
    EXPECT_EQ(one, a[i]);
  }
  a[3][2] ^= 1;
  b[4].back() ^= 1;
  openssl.open(ja);
  mb.open(jb);
  for (size_t i = 0; i < a.size(); i++) {
    EXPECT_EQ(ja[i].ok, i != 3) << i;
    EXPECT_EQ(jb[i].ok, i != 4) << i;
  }
  EXPECT_TRUE(equal(Bytes(b[9]).first(1376), Bytes(plain[9]).first(1376)));
}

// RFC 8439 §2.4.2: block counter 1
TEST(ChaCha20, MatchesRfc8439) {
  ByteArray<32> key;
  for (size_t i = 0; i < 32; i++) key[i] = static_cast<uint8_t>(i);
  const auto nonce = hex<16>("01000000000000000000004a00000000");
  ByteArray<16> data{};
  chacha20_xor(key, nonce, data);
  ByteArray<16> expected = hex<16>("6e2e359a2568f98041ba0728dd0d6981");
  const auto text = as_bytes("Ladies and Gentl");
  for (size_t i = 0; i < 16; i++) expected[i] ^= text[i];
  EXPECT_EQ(to_hex(data), to_hex(expected));
}

// FIPS 197 appendix B
TEST(AesBlock, MatchesFips197AndInverts) {
  for (const auto engine : {AesBlock::Engine::automatic, AesBlock::Engine::openssl}) {
    const AesBlock aes(hex<16>("2b7e151628aed2a6abf7158809cf4f3c"), engine);
    ByteArray<16> block = hex<16>("3243f6a8885a308d313198a2e0370734");
    aes.encrypt(block.data());
    EXPECT_EQ(to_hex(block), "3925841d02dc09fbdc118597196a0b32");
    aes.decrypt(block.data());
    EXPECT_EQ(to_hex(block), "3243f6a8885a308d313198a2e0370734");
  }
}

TEST(AesBlock, EnginesAgree) {
  SeededRng rng(7);
  for (int i = 0; i < 1000; i++) {
    const auto key = rng.bytes<16>();
    const AesBlock ours(key), openssl(key, AesBlock::Engine::openssl);
    const auto plain = rng.bytes<16>();
    ByteArray<16> a = plain, b = plain;
    ours.encrypt(a.data());
    openssl.encrypt(b.data());
    EXPECT_EQ(a, b);
    ours.decrypt(b.data());
    openssl.decrypt(a.data());
    EXPECT_EQ(a, plain);
    EXPECT_EQ(b, plain);
  }
}

}  // namespace
}  // namespace macrovpn::crypto
