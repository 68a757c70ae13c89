#include "core/discovery/equivocation.h"

#include <gtest/gtest.h>

#include "crypto/x25519.h"

namespace macrovpn::discovery {
namespace {

constexpr NetworkId kNetwork{{1, 2, 3, 4, 5, 6, 7, 8}};
const Wall kNow = wall_from_unix(1'800'000'000);

class Equivocation : public ::testing::Test {
 protected:
  Equivocation() {
    info_.wireguard = crypto::x25519_generate(rng_).pub;
    info_.prekey = crypto::x25519_generate(rng_).pub;
    info_.endpoints = {*Endpoint::parse("192.0.2.7:51820")};
    info_.created = kNow - std::chrono::hours(100);
  }
  SignedDescriptor of_as(uint32_t as_number, Wall when = kNow, NetworkId network = kNetwork) {
    info_.as_number = as_number;
    return *open_descriptor(sign_descriptor(info_, network, key_, when), network);
  }
  SeededRng rng_{7};
  crypto::SigningKey key_ = crypto::ed25519_generate(rng_);
  RelayInfo info_;
};

TEST_F(Equivocation, IsTwoBodiesInOneSecond) {
  EXPECT_TRUE(contradict(of_as(1), of_as(2)));
  EXPECT_FALSE(contradict(of_as(1), of_as(1)));
  EXPECT_FALSE(contradict(of_as(1), of_as(2, kNow + 1s)));
  const auto mine = of_as(1);
  key_ = crypto::ed25519_generate(rng_);
  EXPECT_FALSE(contradict(mine, of_as(2)));
}

TEST_F(Equivocation, IsNotARenewalInTheSameSecond) {
  const auto d = of_as(1);
  const auto other = with_renewal(d, sign_renewal(d, key_, kNow, crypto::x25519_generate(rng_).pub));
  ASSERT_TRUE(other.ok());
  EXPECT_NE(other->bytes, d.bytes);
  EXPECT_FALSE(contradict(d, *other));
}

TEST_F(Equivocation, IsARenewalOfOneBodyInTheSecondOfAnother) {
  const auto old = of_as(1, kNow - std::chrono::hours(9));
  const auto renewed = with_renewal(old, sign_renewal(old, key_, kNow, crypto::x25519_generate(rng_).pub));
  EXPECT_TRUE(contradict(*renewed, of_as(2)));
  EXPECT_FALSE(contradict(old, of_as(2)));
  EXPECT_TRUE(check_conviction(renewed->bytes, of_as(2).bytes, kNetwork).ok());
}

TEST_F(Equivocation, ConvictsTheSameWhicheverCameFirst) {
  const auto a = convict(of_as(1), of_as(2)), b = convict(of_as(2), of_as(1));
  EXPECT_EQ(a.first, b.first);
  EXPECT_EQ(a.second, b.second);
  EXPECT_EQ(a.id, peer_id_of(key_.pub));
  EXPECT_EQ(a.until, kNow + kConvictionLife);
}

TEST_F(Equivocation, ProvesItselfLongAfterItsHalvesExpired) {
  const auto c = convict(of_as(1), of_as(2));
  const auto again = check_conviction(c.second, c.first, kNetwork);
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->first, c.first);
  EXPECT_FALSE(check_conviction(c.first, c.first, kNetwork).ok());
  EXPECT_FALSE(check_conviction(c.first, of_as(2, kNow + 1s).bytes, kNetwork).ok());
  auto forged = c.second;
  forged[2 + 60] ^= 1;
  EXPECT_FALSE(check_conviction(c.first, forged, kNetwork).ok());
}

TEST_F(Equivocation, IsOfOneNetwork) {
  const NetworkId other{{9}};
  const auto elsewhere = of_as(2, kNow, other);
  EXPECT_FALSE(check_conviction(of_as(1).without_renewal(), elsewhere.without_renewal(), kNetwork).ok());
}

TEST_F(Equivocation, DoesNotHappenToWhoAsksForTheSecondToSignIn) {
  EXPECT_EQ(next_signing_time(kNow, kNow), kNow + 1s);
  EXPECT_EQ(next_signing_time(kNow, kNow + 500ms), kNow + 1s);
  EXPECT_EQ(next_signing_time(kNow + 60s, kNow), kNow + 61s) << "a clock that went back";
  EXPECT_EQ(next_signing_time(kNow, kNow + 90s + 300ms), kNow + 90s);
}

TEST_F(Equivocation, RenewedDescriptorsAreTheSameAsThoseOpenedWhole) {
  const auto d = of_as(1, kNow - std::chrono::hours(20));
  const auto renewal = sign_renewal(d, key_, kNow, crypto::x25519_generate(rng_).pub);
  EXPECT_EQ(renewal.size(), kRenewalSize);
  const auto r = with_renewal(d, renewal);
  ASSERT_TRUE(r.ok());
  const auto whole = open_descriptor(r->bytes, kNetwork);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  EXPECT_EQ(whole->relay.signed_at, kNow);
  EXPECT_EQ(whole->relay.signed_at, r->relay.signed_at);
  EXPECT_EQ(whole->relay.prekey, r->relay.prekey);
  EXPECT_EQ(whole->body_signed_at, kNow - std::chrono::hours(20));
  EXPECT_TRUE(equal(r->renewal(), renewal));
  for (size_t i = 0; i < renewal.size(); i++) {
    auto bad = renewal;
    bad[i] ^= 1;
    EXPECT_FALSE(with_renewal(d, bad).ok()) << i;
  }
  EXPECT_FALSE(with_renewal(d, Bytes(renewal).first(111)).ok());
  EXPECT_FALSE(with_renewal(of_as(2), renewal).ok()) << "of another body";
}

}  // namespace
}  // namespace macrovpn::discovery
