#include "crypto/passphrase.h"

#include <gtest/gtest.h>

namespace macrovpn::crypto {
namespace {

constexpr PassphraseCost kCheap{1, 64};

TEST(Passphrase, OpensWithTheSameWordsOnly) {
  SeededRng rng(1);
  const auto box = lock_with_passphrase("correct horse", as_bytes("a secret"), rng, kCheap);
  ASSERT_TRUE(box);
  EXPECT_TRUE(equal(*unlock_with_passphrase("correct horse", *box), as_bytes("a secret")));
  EXPECT_EQ(unlock_with_passphrase("correct horsf", *box).error(), PassphraseError::wrong_passphrase);
}

TEST(Passphrase, RefusesABoxThatWasChangedOrCutOff) {
  SeededRng rng(1);
  const auto good = *lock_with_passphrase("x", as_bytes("a secret"), rng, kCheap);
  for (size_t i = 8; i < good.size(); i++) {
    auto bad = good;
    bad[i] ^= 1;
    EXPECT_FALSE(unlock_with_passphrase("x", bad)) << i;
  }
  for (size_t n = 0; n < good.size(); n++)
    EXPECT_FALSE(unlock_with_passphrase("x", Bytes(good).first(n))) << n;
}

TEST(Passphrase, BoundsTheCostThatAStrangersBoxAsksFor) {
  SeededRng rng(1);
  auto box = *lock_with_passphrase("x", as_bytes("a secret"), rng, kCheap);
  store_le32(box.data(), kMaxPassphraseCost.passes + 1);
  EXPECT_EQ(unlock_with_passphrase("x", box).error(), PassphraseError::malformed);
  store_le32(box.data(), 1);
  store_le32(box.data() + 4, kMaxPassphraseCost.memory_kib + 1);
  EXPECT_EQ(unlock_with_passphrase("x", box).error(), PassphraseError::malformed);
}

}  // namespace
}  // namespace macrovpn::crypto
