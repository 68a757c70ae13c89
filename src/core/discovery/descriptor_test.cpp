#include "core/discovery/descriptor.h"

#include <gtest/gtest.h>

#include "core/discovery/body.h"
#include "crypto/hash.h"
#include "crypto/x25519.h"

namespace macrovpn::discovery {
namespace {

constexpr NetworkId kNetwork{{1, 2, 3, 4, 5, 6, 7, 8}};
const Wall kNow = wall_from_unix(1'800'000'000);

class Descriptor : public ::testing::Test {
 protected:
  Descriptor() {
    info_.wireguard = crypto::x25519_generate(rng_).pub;
    info_.prekey = crypto::x25519_generate(rng_).pub;
    info_.endpoints = {*Endpoint::parse("192.0.2.7:51820"), *Endpoint::parse("[2001:db8::7]:443")};
    info_.flags.set(RelayFlag::guard);
    info_.flags.set(RelayFlag::exit);
    info_.region.code = {'N', 'O'};
    info_.bandwidth.bytes_per_second = 12'500'000;
    info_.as_number = 64500;
    info_.created = kNow - std::chrono::hours(24 * 40);
  }
  std::vector<uint8_t> signed_now() { return sign_descriptor(info_, kNetwork, key_, kNow); }
  // A descriptor without renewal over a body that encode_body would never make.
  std::vector<uint8_t> sign_raw(const std::vector<uint8_t>& body, int64_t signed_at, int64_t expiry) {
    std::vector<uint8_t> times, message, out;
    Writer(times).le32(static_cast<uint32_t>(signed_at)).le32(static_cast<uint32_t>(expiry));
    Writer(message).bytes(as_bytes("macrovpn descriptor 1")).bytes(crypto::blake2b_256({body})).bytes(times);
    Writer(out).le16(static_cast<uint16_t>(body.size())).bytes(body).bytes(times);
    Writer(out).bytes(crypto::ed25519_sign(key_, message));
    return out;
  }
  std::vector<uint8_t> sign_raw(const std::vector<uint8_t>& body) {
    return sign_raw(body, unix_seconds(kNow), unix_seconds(kNow) + 3600);
  }
  std::vector<uint8_t> plain_body() {
    RelayInfo self = info_;
    self.identity = key_.pub;
    return encode_body(self, kNetwork);
  }

  SeededRng rng_{7};
  crypto::SigningKey key_ = crypto::ed25519_generate(rng_);
  RelayInfo info_;
};

std::vector<std::vector<uint8_t>> fields_of(const std::vector<uint8_t>& body) {
  std::vector<std::vector<uint8_t>> out;
  for (size_t i = 0; i < body.size(); i += 2 + body[i + 1]) {
    out.emplace_back(body.begin() + static_cast<long>(i),
                     body.begin() + static_cast<long>(i + 2 + body[i + 1]));
  }
  return out;
}

std::vector<uint8_t> body_of(const std::vector<std::vector<uint8_t>>& fields) {
  std::vector<uint8_t> out;
  for (const auto& f : fields) out.insert(out.end(), f.begin(), f.end());
  return out;
}

TEST_F(Descriptor, SaysWhatItsRelaySaid) {
  const auto r = verify_descriptor(signed_now(), kNetwork, kNow);
  ASSERT_TRUE(r.ok()) << r.error().message;
  EXPECT_EQ(r->id, peer_id_of(key_.pub));
  EXPECT_EQ(r->identity, key_.pub);
  EXPECT_EQ(r->wireguard, info_.wireguard);
  EXPECT_EQ(r->prekey, info_.prekey);
  EXPECT_EQ(r->endpoints, info_.endpoints);
  EXPECT_EQ(r->flags, info_.flags);
  EXPECT_EQ(r->region, info_.region);
  EXPECT_EQ(r->as_number, 64500u);
  EXPECT_EQ(unix_seconds(r->created) % 3600, 0);
  EXPECT_EQ(r->signed_at, kNow);
  EXPECT_EQ(r->expiry, kNow + kDescriptorLife);
  EXPECT_FALSE(r->family);
  // 10.49 MB/s: the two significant bits below the leading one of 12.5 MB/s.
  EXPECT_EQ(r->bandwidth.bytes_per_second, 10'485'760u);
}

TEST_F(Descriptor, HasTheLayoutOfTheProtocolPage) {
  const auto d = signed_now();
  const size_t body = load_le16(d.data());
  EXPECT_EQ(d.size(), 2 + body + 72 + 112);
  EXPECT_EQ(to_hex(Bytes(d).subspan(2, 13)),
            "010101"
            "02080102030405060708");
  EXPECT_EQ(to_hex(Bytes(d).subspan(15, 2)), "0320");
  EXPECT_EQ(load_le32(&d[2 + body]), 1'800'000'000u);
  EXPECT_EQ(load_le32(&d[2 + body + 4]), 1'800'000'000u + 36 * 3600);
  EXPECT_TRUE(equal(Bytes(d).subspan(2 + body + 72, 8), Bytes(peer_id_of(key_.pub).bytes).first(8)));
}

TEST_F(Descriptor, IsRefusedWhateverByteIsChanged) {
  const auto good = signed_now();
  for (size_t i = 0; i < good.size(); i++) {
    for (const uint8_t flip : {0x01, 0x80}) {
      auto bad = good;
      bad[i] = static_cast<uint8_t>(bad[i] ^ flip);
      EXPECT_FALSE(verify_descriptor(bad, kNetwork, kNow).ok()) << "byte " << i;
    }
  }
}

TEST_F(Descriptor, IsRefusedWhenCutOffOrContinued) {
  const auto good = signed_now();
  const size_t without_renewal = good.size() - 112;
  for (size_t n = 0; n < good.size(); n++) {
    EXPECT_EQ(verify_descriptor(Bytes(good).first(n), kNetwork, kNow).ok(), n == without_renewal) << n;
  }
  auto longer = good;
  longer.push_back(0);
  EXPECT_FALSE(verify_descriptor(longer, kNetwork, kNow).ok());
}

TEST_F(Descriptor, WithoutRenewalHasNoPrekey) {
  info_.prekey = {};
  const auto r = verify_descriptor(signed_now(), kNetwork, kNow);
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(r->prekey, PublicKey{});
}

TEST_F(Descriptor, ExpiresAfterThirtySixHours) {
  const auto d = signed_now();
  EXPECT_TRUE(verify_descriptor(d, kNetwork, kNow + kDescriptorLife - 1s).ok());
  EXPECT_FALSE(verify_descriptor(d, kNetwork, kNow + kDescriptorLife).ok());
}

TEST_F(Descriptor, MayNotPromiseALongerLife) {
  const int64_t now = unix_seconds(kNow);
  EXPECT_TRUE(verify_descriptor(sign_raw(plain_body(), now, now + 36 * 3600), kNetwork, kNow).ok());
  EXPECT_FALSE(verify_descriptor(sign_raw(plain_body(), now, now + 36 * 3600 + 1), kNetwork, kNow).ok());
  EXPECT_FALSE(verify_descriptor(sign_raw(plain_body(), now, now), kNetwork, kNow).ok());
}

TEST_F(Descriptor, FromTheFutureIsRefusedBeyondTheTolerance) {
  const auto d = signed_now();
  EXPECT_TRUE(verify_descriptor(d, kNetwork, kNow - kClockTolerance).ok());
  EXPECT_FALSE(verify_descriptor(d, kNetwork, kNow - kClockTolerance - 1s).ok());
}

TEST_F(Descriptor, OfAnotherNetworkIsRefused) {
  NetworkId other = kNetwork;
  other.bytes[0] ^= 1;
  EXPECT_FALSE(verify_descriptor(signed_now(), other, kNow).ok());
}

TEST_F(Descriptor, LivesOnThroughItsRenewal) {
  const Wall old = kNow - std::chrono::hours(72);
  const auto first = sign_descriptor(info_, kNetwork, key_, old);
  const auto newer = signed_now();
  // The old body and block with the renewal of today: the same body hash, so it fits.
  std::vector<uint8_t> mixed(first.begin(), first.end() - 112);
  mixed.insert(mixed.end(), newer.end() - 112, newer.end());
  const auto r = verify_descriptor(mixed, kNetwork, kNow);
  ASSERT_TRUE(r.ok()) << r.error().message;
  EXPECT_EQ(r->signed_at, kNow);
  // The other way round the renewal is older than what it renews.
  std::vector<uint8_t> backwards(newer.begin(), newer.end() - 112);
  backwards.insert(backwards.end(), first.end() - 112, first.end());
  EXPECT_FALSE(verify_descriptor(backwards, kNetwork, kNow).ok());
}

TEST_F(Descriptor, RenewalOfAnotherBodyIsRefused) {
  auto d = signed_now();
  info_.as_number++;
  const auto other = signed_now();
  std::copy(other.end() - 112, other.end(), d.end() - 112);
  EXPECT_FALSE(verify_descriptor(d, kNetwork, kNow).ok());
}

TEST_F(Descriptor, KeepsTagsThatItDoesNotKnow) {
  auto body = plain_body();
  Writer(body).u8(200).u8(3).bytes(ByteArray<3>{9, 9, 9}).u8(255).u8(0);
  auto d = sign_raw(body);
  EXPECT_TRUE(verify_descriptor(d, kNetwork, kNow).ok());
  d[2 + body.size() - 3] ^= 1;  // but not unsigned: a byte of the unknown field
  EXPECT_FALSE(verify_descriptor(d, kNetwork, kNow).ok());
}

TEST_F(Descriptor, MayFillItsBoundAndNoMore) {
  auto body = plain_body();
  uint8_t tag = 100;
  while (body.size() + 2 <= kMaxBody) {
    const size_t n = std::min<size_t>(200, kMaxBody - body.size() - 2);
    Writer(body).u8(tag++).u8(static_cast<uint8_t>(n)).zeros(n);
  }
  ASSERT_EQ(body.size(), kMaxBody);
  EXPECT_TRUE(verify_descriptor(sign_raw(body), kNetwork, kNow).ok());
  body = plain_body();
  while (body.size() <= kMaxBody) Writer(body).u8(tag++).u8(200).zeros(200);
  EXPECT_FALSE(verify_descriptor(sign_raw(body), kNetwork, kNow).ok());
}

TEST_F(Descriptor, TakesOneToFourEndpoints) {
  info_.endpoints.clear();
  for (const char* e : {"192.0.2.1:1", "192.0.2.2:2", "[2001:db8::3]:3", "[2001:db8::4]:4"}) {
    info_.endpoints.push_back(*Endpoint::parse(e));
  }
  EXPECT_EQ(verify_descriptor(signed_now(), kNetwork, kNow)->endpoints, info_.endpoints);

  const auto with_endpoints = [&](std::vector<uint8_t> value) {
    auto fields = fields_of(plain_body());
    for (auto& f : fields) {
      if (f[0] != static_cast<uint8_t>(Tag::endpoints)) continue;
      f = {f[0], static_cast<uint8_t>(value.size())};
      f.insert(f.end(), value.begin(), value.end());
    }
    return verify_descriptor(sign_raw(body_of(fields)), kNetwork, kNow).ok();
  };
  const std::vector<uint8_t> one{4, 192, 0, 2, 1, 10, 0};
  EXPECT_TRUE(with_endpoints(one));
  EXPECT_FALSE(with_endpoints({}));
  EXPECT_FALSE(with_endpoints({4, 192, 0, 2, 1, 0, 0})) << "port 0";
  EXPECT_FALSE(with_endpoints({4, 0, 0, 0, 0, 10, 0})) << "no address";
  EXPECT_FALSE(with_endpoints({5, 192, 0, 2, 1, 10, 0})) << "unknown family";
  EXPECT_FALSE(with_endpoints({4, 192, 0, 2, 1, 10})) << "cut off";
  std::vector<uint8_t> five;
  for (uint8_t i = 1; i <= 5; i++) five.insert(five.end(), {4, 192, 0, 2, i, 10, 0});
  EXPECT_FALSE(with_endpoints(five));
  std::vector<uint8_t> twice = one;
  twice.insert(twice.end(), one.begin(), one.end());
  EXPECT_FALSE(with_endpoints(twice));
}

TEST_F(Descriptor, IsCanonical) {
  const auto fields = fields_of(plain_body());
  ASSERT_TRUE(verify_descriptor(sign_raw(body_of(fields)), kNetwork, kNow).ok());
  for (size_t i = 0; i + 1 < fields.size(); i++) {
    auto swapped = fields;
    std::swap(swapped[i], swapped[i + 1]);
    EXPECT_FALSE(verify_descriptor(sign_raw(body_of(swapped)), kNetwork, kNow).ok()) << "swapped " << i;
    auto doubled = fields;
    doubled.insert(doubled.begin() + static_cast<long>(i), fields[i]);
    EXPECT_FALSE(verify_descriptor(sign_raw(body_of(doubled)), kNetwork, kNow).ok()) << "doubled " << i;
  }
  for (size_t i = 0; i < 7; i++) {
    auto missing = fields;
    missing.erase(missing.begin() + static_cast<long>(i));
    EXPECT_FALSE(verify_descriptor(sign_raw(body_of(missing)), kNetwork, kNow).ok()) << "without " << i;
  }
  for (size_t i = 0; i < fields.size(); i++) {
    auto longer = fields;
    longer[i].push_back(0);
    longer[i][1]++;
    EXPECT_FALSE(verify_descriptor(sign_raw(body_of(longer)), kNetwork, kNow).ok()) << "longer " << i;
  }
}

TEST_F(Descriptor, RefusesValuesThatMeanNothing) {
  const auto with = [&](Tag tag, std::vector<uint8_t> value) {
    auto fields = fields_of(plain_body());
    for (auto& f : fields) {
      if (f[0] == static_cast<uint8_t>(tag)) std::copy(value.begin(), value.end(), f.begin() + 2);
    }
    return verify_descriptor(sign_raw(body_of(fields)), kNetwork, kNow).ok();
  };
  EXPECT_FALSE(with(Tag::version, {2}));
  EXPECT_FALSE(with(Tag::region, {'n', 'o'}));
  EXPECT_FALSE(with(Tag::as_number, {0, 0, 0, 0}));
  EXPECT_FALSE(with(Tag::created, {1, 0, 0, 0})) << "not rounded to the hour";
  EXPECT_FALSE(with(Tag::created, {0, 0, 0, 0xff})) << "after the signature";
  EXPECT_FALSE(with(Tag::wireguard, std::vector<uint8_t>(32, 0)));
  EXPECT_TRUE(with(Tag::flags, {0xff, 0xff})) << "unknown flags are kept";
}

TEST_F(Descriptor, FamilyNeedsBothSignatures) {
  const auto family = crypto::ed25519_generate(rng_);
  const auto proof = sign_family(family, peer_id_of(key_.pub), kNetwork);
  const auto with = [&](const FamilyProof& p) {
    return verify_descriptor(sign_descriptor(info_, kNetwork, key_, kNow, p), kNetwork, kNow);
  };
  ASSERT_TRUE(with(proof).ok());
  EXPECT_EQ(with(proof)->family, family.pub);

  const auto other = crypto::ed25519_generate(rng_);
  EXPECT_FALSE(with({other.pub, proof.signature}).ok()) << "a family that did not sign";
  EXPECT_FALSE(with(sign_family(family, peer_id_of(other.pub), kNetwork)).ok())
      << "a signature over another relay";
  EXPECT_FALSE(with(sign_family(family, peer_id_of(key_.pub), NetworkId{})).ok()) << "or another network";
  info_.family = family.pub;  // named, but without proof: it is not written
  EXPECT_FALSE(verify_descriptor(signed_now(), kNetwork, kNow)->family);
}

TEST(Bandwidth, RoundsDownToItsOwnFixedPoints) {
  EXPECT_EQ(decode_bandwidth(encode_bandwidth({UINT64_MAX})).bytes_per_second,
            UINT64_MAX - (UINT64_MAX >> 3));
  for (unsigned code = 9; code < 256; code++) {
    const Bandwidth b = decode_bandwidth(static_cast<uint8_t>(code));
    EXPECT_EQ(encode_bandwidth(b), code);
    EXPECT_EQ(encode_bandwidth({b.bytes_per_second - 1}), code - 1);
  }
}

TEST_F(Descriptor, BindingHoldsForOneSessionOnly) {
  const auto challenge = rng_.bytes<32>();
  const auto hash = rng_.bytes<32>();
  const PublicKey caller = crypto::x25519_generate(rng_).pub;
  const Binding b{kNetwork, challenge, caller, info_.wireguard, hash};
  const auto s = sign_binding(key_, b);
  EXPECT_TRUE(verify_binding(key_.pub, s, b));
  EXPECT_FALSE(verify_binding(key_.pub, s, {kNetwork, hash, caller, info_.wireguard, hash}));
  EXPECT_FALSE(verify_binding(key_.pub, s, {kNetwork, challenge, info_.wireguard, caller, hash}));
  EXPECT_FALSE(verify_binding(key_.pub, s, {kNetwork, challenge, caller, info_.wireguard, challenge}));
  EXPECT_FALSE(verify_binding(key_.pub, s, {NetworkId{{9}}, challenge, caller, info_.wireguard, hash}));
  EXPECT_FALSE(verify_binding(crypto::ed25519_generate(rng_).pub, s, b));
}

}  // namespace
}  // namespace macrovpn::discovery
