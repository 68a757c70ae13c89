#include "crypto/argon2.h"

#include <gtest/gtest.h>

namespace macrovpn::crypto {
namespace {

ByteArray<16> salt_of(std::string_view text) { return *to_array<16>(as_bytes(text)); }

// From the reference implementation's own program: argon2 "sixteen byte sal" -id -t 1 -k 16384 -p 1 -l 32 -r
TEST(Argon2, SaysWhatTheReferenceImplementationSays) {
  const auto hash = argon2id(as_bytes("macrovpn"), salt_of("sixteen byte sal"), {1, 16 * 1024});
  ASSERT_TRUE(hash);
  EXPECT_EQ(to_hex(*hash), "e146ba774ff34dcb4c8d2f87b057bd748b9176341096804b7a3a6f4b755f15e3");
}

TEST(Argon2, DependsOnAllThatIsGiven) {
  const Argon2Cost cheap{1, 8};
  const auto hash = argon2id(as_bytes("a"), salt_of("0123456789abcdef"), cheap);
  EXPECT_NE(hash, argon2id(as_bytes("b"), salt_of("0123456789abcdef"), cheap));
  EXPECT_NE(hash, argon2id(as_bytes("a"), salt_of("0123456789abcdeg"), cheap));
  EXPECT_NE(hash, argon2id(as_bytes("a"), salt_of("0123456789abcdef"), {2, 8}));
  EXPECT_NE(hash, argon2id(as_bytes("a"), salt_of("0123456789abcdef"), {1, 16}));
}

}  // namespace
}  // namespace macrovpn::crypto
