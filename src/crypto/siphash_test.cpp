#include "crypto/siphash.h"

#include <gtest/gtest.h>

namespace macrovpn::crypto {
namespace {

// vectors.h of the reference implementation (github.com/veorq/SipHash), vectors_sip128: key 00..0f, inputs "", 00, 00 01, ...
TEST(SipHash, HasTheVectorsOfItsReference) {
  ByteArray<16> key;
  for (uint8_t i = 0; i < 16; i++) key[i] = i;
  const char* expected[] = {"a3817f04ba25a8e66df67214c7550293", "da87c1d86b99af44347659119b22fc45"};
  for (size_t n = 0; n < 2; n++) {
    const Sip128 h = siphash128(key, Bytes(key).first(n));
    std::vector<uint8_t> bytes;
    Writer(bytes).le64(h.low).le64(h.high);
    EXPECT_EQ(to_hex(bytes), expected[n]);
  }
}

}  // namespace
}  // namespace macrovpn::crypto
