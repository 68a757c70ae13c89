#include "core/encryption/noise.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "crypto/x25519.h"

namespace macrovpn::encryption {
namespace {

std::vector<uint8_t> hex(std::string_view s) {
  return *from_hex(s);
}
template <size_t N>
ByteArray<N> hex_array(std::string_view s) {
  return *to_array<N>(hex(s));
}

// From the test vectors of snow (cacophony.txt), Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s.
struct NoiseVector {
  std::string prologue, psk, init_static, init_ephemeral, resp_static, resp_ephemeral, resp_public, hash;
  std::vector<std::pair<std::string, std::string>> messages;  // payload, ciphertext
};

NoiseVector published() {
  return {
      "4a6f686e2047616c74",
      "54686973206973206d7920417573747269616e20706572737065637469766521",
      "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
      "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
      "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
      "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
      "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62",
      "f5191b875290abcd41347ac3622d9679688a7e980229cb937ef748336cfde0e5",
      {
          {"4c756477696720766f6e204d69736573",
           "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944001e21de9f98ddd8e2ad57527207feb5"
           "6253c9c94a9e496782ecfcb2a75fbcaf1b52948cc48daefe660c62119ab5000980c84831215f2441eba616548e832985"
           "464cf17e51ee93109008399a21f7e13f"},
          {"4d757272617920526f746862617264",
           "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843cb765f2caef0751b8f007572dab03222"
           "17755c0632f365717edbf34d33e87a"},
          {"462e20412e20486179656b", "8153ca9833bc3c1b91a7e66e5f4d4f5b59bf9e64c2f20d15f0bba7"},
          {"4361726c204d656e676572", "07af0c9c86e1b4e80f36b04ff7688d51141af3debd0332f0a705ef"},
          {"4a65616e2d426170746973746520536179",
           "6ab1467c0448cc78394494abaaf23afce0e234315d6e2624dcbfa8a21c1c4d073d"},
          {"457567656e2042f6686d20766f6e2042617765726b",
           "dfc346c0d2296ae6cf1acf6f12b8456a1dba228cf8d8b774aacf1c47fc53aa80ebc7a4c292"},
      }};
}

KeyPair pair_of(const std::string& secret) {
  return crypto::x25519_from_secret(PrivateKey(hex_array<32>(secret)));
}

void check(const NoiseVector& v) {
  const KeyPair init = pair_of(v.init_static), init_e = pair_of(v.init_ephemeral);
  const KeyPair resp = pair_of(v.resp_static), resp_e = pair_of(v.resp_ephemeral);
  ASSERT_EQ(to_hex(resp.pub.bytes), v.resp_public);
  const Secret<32> psk(hex_array<32>(v.psk));
  const auto prologue = hex(v.prologue);
  Noise a(prologue, resp.pub), b(prologue, resp.pub);

  const auto payload1 = hex(v.messages[0].first);
  std::vector<uint8_t> one(noise_message1_size(payload1.size())), got1(payload1.size());
  ASSERT_TRUE(
      a.write_message1(init, init_e, resp.pub, *crypto::x25519(init.secret, resp.pub), payload1, one).ok());
  EXPECT_EQ(to_hex(one), v.messages[0].second);
  const auto who = b.read_message1_static(crypto::DhKey(resp.secret), one);
  ASSERT_TRUE(who.ok());
  EXPECT_EQ(*who, init.pub);
  ASSERT_TRUE(b.read_message1_payload(*crypto::x25519(resp.secret, init.pub), one, got1).ok());
  EXPECT_EQ(got1, payload1);

  const auto payload2 = hex(v.messages[1].first);
  std::vector<uint8_t> two(noise_message2_size(payload2.size())), got2(payload2.size());
  ASSERT_TRUE(b.write_message2(crypto::DhKey(resp_e.secret), init_e.pub, init.pub, psk, payload2, two).ok());
  EXPECT_EQ(to_hex(two), v.messages[1].second);
  ASSERT_TRUE(a.read_message2(init, init_e, psk, two, got2).ok());
  EXPECT_EQ(got2, payload2);
  EXPECT_EQ(to_hex(a.hash()), v.hash);
  EXPECT_EQ(to_hex(b.hash()), v.hash);

  const TransportKeys keys = a.split();
  for (size_t i = 2; i < v.messages.size(); i++) {
    const auto plain = hex(v.messages[i].first);
    std::vector<uint8_t> sealed(plain.size() + crypto::kTagSize);
    const auto& key = i % 2 == 0 ? keys.initiator_to_responder : keys.responder_to_initiator;
    crypto::aead_seal(key, (i - 2) / 2, {}, plain, sealed);
    EXPECT_EQ(to_hex(sealed), v.messages[i].second);
  }
}

TEST(Noise, MatchesThePublishedVector) {
  check(published());
}

// The value of "name" in a JSON text that has one object: enough for the vectors' file.
std::vector<std::string> values_of(const std::string& json, const std::string& name) {
  std::vector<std::string> out;
  for (size_t at = json.find("\"" + name + "\""); at != std::string::npos;
       at = json.find("\"" + name + "\"", at + 1)) {
    const size_t open = json.find('"', json.find(':', at)), close = json.find('"', open + 1);
    out.push_back(json.substr(open + 1, close - open - 1));
  }
  return out;
}

TEST(Noise, MatchesTheVectorsFile) {
  const char* folder = std::getenv("MACROVPN_VECTORS");
  if (folder == nullptr) GTEST_SKIP() << "MACROVPN_VECTORS is not set";
  std::ifstream in(std::string(folder) + "/noise_ikpsk2.json");
  ASSERT_TRUE(in);
  std::stringstream text;
  text << in.rdbuf();
  const std::string json = text.str();
  NoiseVector v = published();
  v.prologue = values_of(json, "init_prologue").at(0);
  v.psk = values_of(json, "init_psks").at(0);
  v.init_static = values_of(json, "init_static").at(0);
  v.init_ephemeral = values_of(json, "init_ephemeral").at(0);
  v.resp_static = values_of(json, "resp_static").at(0);
  v.resp_ephemeral = values_of(json, "resp_ephemeral").at(0);
  v.resp_public = values_of(json, "init_remote_static").at(0);
  v.hash = values_of(json, "handshake_hash").at(0);
  const auto payloads = values_of(json, "payload"), sealed = values_of(json, "ciphertext");
  v.messages.clear();
  for (size_t i = 0; i < payloads.size(); i++) v.messages.emplace_back(payloads[i], sealed.at(i));
  ASSERT_GE(v.messages.size(), 3u);
  check(v);
}

}  // namespace
}  // namespace macrovpn::encryption
