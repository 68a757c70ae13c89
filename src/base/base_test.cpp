#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/packet.h"
#include "base/result.h"
#include "base/rng.h"
#include "base/secret.h"

namespace macrovpn {
namespace {

// RFC 4648 §10
TEST(Base64, MatchesThePublishedVectors) {
  const std::pair<const char*, const char*> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : cases) {
    EXPECT_EQ(to_base64(as_bytes(plain)), text);
    const auto back = from_base64(text);
    ASSERT_TRUE(back);
    EXPECT_TRUE(equal(*back, as_bytes(plain)));
  }
}

TEST(Base64, RefusesWhatIsNotCanonical) {
  for (const char* bad : {"Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm9v=", "Zm9 "})
    EXPECT_FALSE(from_base64(bad)) << bad;
}

TEST(Hex, RoundTripsAndRefusesOddOrForeignCharacters) {
  EXPECT_EQ(to_hex(*from_hex("00fFa5")), "00ffa5");
  EXPECT_FALSE(from_hex("abc"));
  EXPECT_FALSE(from_hex("zz"));
}

TEST(Reader, StaysFailedAfterAShortRead) {
  const ByteArray<3> b{1, 2, 3};
  Reader r(b);
  EXPECT_EQ(r.be16(), 0x0102);
  EXPECT_EQ(r.be16(), 0);
  EXPECT_FALSE(r.ok());
  EXPECT_EQ(r.u8(), 0);
}

TEST(Packet, ReturnsItsSlotToThePool) {
  PacketPool pool;
  {
    Packet a = pool.take();
    Packet b = pool.take();
    a = std::move(b);
  }
  EXPECT_EQ(pool.slots(), 2u);
  Packet again = pool.take();
  EXPECT_EQ(pool.slots(), 2u);
}

TEST(Packet, GrowsAndShrinksAtBothEnds) {
  PacketPool pool;
  Packet p = pool.copy_of(as_bytes("payload"));
  std::memcpy(p.push_front(2), "ab", 2);
  std::memcpy(p.push_back(1), "z", 1);
  EXPECT_TRUE(equal(p.bytes(), as_bytes("abpayloadz")));
  p.pop_front(3);
  p.truncate(6);
  EXPECT_TRUE(equal(p.bytes(), as_bytes("ayload")));
}

TEST(Rng, SameSeedSameDrawsAndBelowStaysBelow) {
  SeededRng a(7), b(7);
  for (int i = 0; i < 1000; i++) {
    const uint64_t bound = 1 + static_cast<uint64_t>(i);
    const uint64_t v = a.below(bound);
    EXPECT_EQ(v, b.below(bound));
    EXPECT_LT(v, bound);
  }
}

TEST(Secret, ComparesByContent) {
  Secret<4> a(ByteArray<4>{1, 2, 3, 4}), b(ByteArray<4>{1, 2, 3, 4}), c(ByteArray<4>{1, 2, 3, 5});
  EXPECT_TRUE(a == b);
  EXPECT_FALSE(a == c);
}

Result<int> half(int n) {
  if (n % 2) return fail("odd");
  return n / 2;
}
Result<int> quarter(int n) {
  TRY(const int h, half(n));
  TRY(const int q, half(h));
  return q;
}
TEST(Result, TryReturnsTheFirstError) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().message, "odd");
}

}  // namespace
}  // namespace macrovpn
