// The primitives in the form in which the tunnels use them, held to published values.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "crypto/aead.h"
#include "crypto/hash.h"

namespace macrovpn::encryption {
namespace {

std::vector<uint8_t> hex(std::string_view s) {
  return *from_hex(s);
}

// Keyed BLAKE2s of 0, 1, 2 ... (testvectors/blake2s-kat.txt); key 00 01 .. 1f.
TEST(Blake2s, MatchesPublishedKeyedVectors) {
  ByteArray<32> key;
  for (size_t i = 0; i < 32; i++) key[i] = static_cast<uint8_t>(i);
  const char* kExpected[] = {"48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49",
                             "40d15fee7c328830166ac3f918650f807e7e01e177258cdc0a39b11f598066f1",
                             "6bb71300644cd3991b26ccd4d274acd1adeab8b1d7914546c1198bbe9fc9d803",
                             "1d220dbe2ee134661fdf6d9e74b41704710556f2f6e5a091b227697445dbea6b"};
  std::vector<uint8_t> input;
  for (const char* expected : kExpected) {
    EXPECT_EQ(to_hex(crypto::keyed_blake2s_256(key, {input})), expected);
    input.push_back(static_cast<uint8_t>(input.size()));
  }
}

TEST(Blake2s, MatchesTheVectorsFile) {
  const char* folder = std::getenv("MACROVPN_VECTORS");
  if (folder == nullptr) GTEST_SKIP() << "MACROVPN_VECTORS is not set";
  std::ifstream in(std::string(folder) + "/blake2s-kat.txt");
  ASSERT_TRUE(in);
  std::string line;
  std::vector<uint8_t> input, key;
  size_t checked = 0;
  const auto value = [](const std::string& s) {
    std::string v = s.substr(s.find(':') + 1);
    std::erase_if(v, [](char c) { return c == ' ' || c == '\t' || c == '\r'; });
    return v;
  };
  while (std::getline(in, line)) {
    if (line.starts_with("in:")) input = hex(value(line));
    if (line.starts_with("key:")) key = hex(value(line));
    if (!line.starts_with("hash:")) continue;
    EXPECT_EQ(to_hex(crypto::keyed_blake2s_256(key, {input})), value(line));
    checked++;
  }
  EXPECT_EQ(checked, 256u);
}

// RFC 8439 appendix A.5: its nonce begins with four zero bytes, as WireGuard's do.
TEST(ChaCha20Poly1305, MatchesRfc8439) {
  const crypto::SymmetricKey key(
      *to_array<32>(hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0")));
  const std::string plain =
      "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, "
      "or "
      "obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference "
      "material or to cite them other than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d";
  std::vector<uint8_t> sealed(plain.size() + crypto::kTagSize), opened(plain.size());
  crypto::aead_seal(key, 0x0807060504030201, hex("f33388860000000000004e91"), as_bytes(plain), sealed);
  EXPECT_EQ(to_hex(Bytes(sealed).first(16)), "64a0861575861af460f062c79be643bd");
  EXPECT_EQ(to_hex(Bytes(sealed).last(16)), "eead9d67890cbb22392336fea1851f38");
  EXPECT_TRUE(crypto::aead_open(key, 0x0807060504030201, hex("f33388860000000000004e91"), sealed, opened));
  EXPECT_TRUE(equal(opened, as_bytes(plain)));
}

// draft-irtf-cfrg-xchacha-03 appendix A.3.1: the AEAD of cookie replies.
TEST(XChaCha20Poly1305, MatchesTheDraft) {
  ByteArray<32> key;
  ByteArray<24> nonce;
  for (size_t i = 0; i < 32; i++) key[i] = static_cast<uint8_t>(0x80 + i);
  for (size_t i = 0; i < 24; i++) nonce[i] = static_cast<uint8_t>(0x40 + i);
  const std::string plain =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen "
      "would "
      "be it.";
  std::vector<uint8_t> sealed(plain.size() + crypto::kTagSize);
  crypto::xaead_seal(crypto::SymmetricKey(key), nonce, hex("50515253c0c1c2c3c4c5c6c7"), as_bytes(plain),
                     sealed);
  EXPECT_EQ(to_hex(Bytes(sealed).first(16)), "bd6d179d3e83d43b9576579493c0e939");
  EXPECT_EQ(to_hex(Bytes(sealed).last(16)), "c0875924c1c7987947deafd8780acf49");
}

}  // namespace
}  // namespace macrovpn::encryption
