#include "core/encryption/header_mask.h"

#include <gtest/gtest.h>

namespace macrovpn::encryption {
namespace {

constexpr ByteArray<8> kNetwork{1, 2, 3, 4, 5, 6, 7, 8};

struct Fixture {
  PacketPool pool;
  SeededRng rng{11};
  KeyPair alice = crypto::x25519_generate(rng), bob = crypto::x25519_generate(rng);

  Packet message(MessageType type, size_t size) {
    Packet p = pool.take();
    rng.fill({p.push_back(size), size});
    store_le32(p.data(), static_cast<uint32_t>(type));
    return p;
  }
  std::vector<uint8_t> bytes(size_t n) {
    std::vector<uint8_t> v(n);
    rng.fill(v);
    return v;
  }
};

std::vector<uint8_t> copy(const Packet& p) {
  return {p.data(), p.data() + p.size()};
}

TEST(MaskKey, UnmasksWhatItMaskedAndLeavesNoTypeByteToSee) {
  Fixture f;
  const MaskKey ours(kNetwork, f.bob.pub), theirs(kNetwork, f.bob.pub);
  int plain_looking = 0;
  for (int round = 0; round < 64; round++) {
    for (const auto& [type, size] : {std::pair{MessageType::initiation, size_t{148}},
                                     {MessageType::response, size_t{92}},
                                     {MessageType::cookie_reply, size_t{64}},
                                     {MessageType::transport, size_t{32}},
                                     {MessageType::transport, size_t{1456}}}) {
      Packet p = f.message(type, size);
      const auto before = copy(p);
      ours.mask(p.bytes());
      plain_looking += p.data()[1] == 0 && p.data()[2] == 0 && p.data()[3] == 0;
      ASSERT_EQ(theirs.unmask(p.bytes()), type);
      ASSERT_EQ(copy(p), before);
    }
  }
  EXPECT_EQ(plain_looking, 0);
}

TEST(MaskKey, LeavesADatagramOfAnotherKeyOrNetworkAsItWas) {
  Fixture f;
  const MaskKey right(kNetwork, f.bob.pub), wrong(kNetwork, f.alice.pub), elsewhere({9}, f.bob.pub);
  Packet p = f.message(MessageType::initiation, 400);
  right.mask(p.bytes());
  const auto masked = copy(p);
  EXPECT_EQ(wrong.unmask(p.bytes()), std::nullopt);
  EXPECT_EQ(elsewhere.unmask(p.bytes()), std::nullopt);
  EXPECT_EQ(copy(p), masked);
  EXPECT_EQ(right.unmask(p.bytes()), MessageType::initiation);
}

TEST(MaskKey, RefusesWhatIsTooShortToBeAMessage) {
  Fixture f;
  const MaskKey key(kNetwork, f.bob.pub);
  auto v = f.bytes(31);
  EXPECT_EQ(key.unmask(v), std::nullopt);
}

// Every byte of a handshake datagram depends on the key; two maskings of different messages share nothing.
TEST(MaskKey, HidesTheWholeHandshakeMessage) {
  Fixture f;
  const MaskKey key(kNetwork, f.bob.pub);
  std::vector<uint8_t> a(1232), b(1232);
  a[0] = b[0] = 1;
  b[4] = 1;  // another sender index
  key.mask(a);
  key.mask(b);
  size_t same = 0;
  for (size_t i = 0; i < a.size(); i++) same += a[i] == b[i];
  EXPECT_LT(same, 24u);  // 1232 / 256 expected
}

// The layout of docs/protocol.md, computed once with Python's cryptography and hashlib from the same inputs.
TEST(MaskKey, KeysFollowTheDocumentedDerivation) {
  PublicKey called;
  for (size_t i = 0; i < 32; i++) called.bytes[i] = static_cast<uint8_t>(i);
  const MaskKey key(kNetwork, called);
  std::vector<uint8_t> d(64);
  d[0] = 3;
  key.mask(d);
  EXPECT_EQ(to_hex(d),
            "8fdd9012f11dcd6e01537473f88e8bcb855277302ec788a33faea98e217ca93a95e03c4038f3fadeb55139baa9968ae7"
            "8b3b8cb9381ce9f7db214f8c0fbd93bb");
}

TEST(PairKeys, BothSidesDeriveTheSameAndOthersDoNot) {
  Fixture f;
  const KeyPair carol = crypto::x25519_generate(f.rng);
  auto ab = PairKeys::derive(kNetwork, f.alice, f.bob.pub),
       ba = PairKeys::derive(kNetwork, f.bob, f.alice.pub);
  auto ac = PairKeys::derive(kNetwork, f.alice, carol.pub);
  Packet p = f.message(MessageType::transport, 96);
  const auto before = copy(p);
  ab->mask_transport(p.data());
  const auto masked = copy(p);
  EXPECT_FALSE(ac->unmask(p.bytes()));
  EXPECT_EQ(copy(p), masked);
  EXPECT_TRUE(ba->unmask(p.bytes()));
  EXPECT_EQ(copy(p), before);
  EXPECT_EQ(ab->trailer_mac(before), ba->trailer_mac(before));
  EXPECT_NE(ab->trailer_mac(before), ac->trailer_mac(before));
}

TEST(PairKeys, RefusesAKeyOfLowOrder) {
  Fixture f;
  EXPECT_EQ(PairKeys::derive(kNetwork, f.alice, PublicKey{}).error(), Drop::low_order_point);
}

TEST(HandshakeDatagram, GivesBackEveryPartThatWasWritten) {
  Fixture f;
  const auto pair = PairKeys::derive(kNetwork, f.alice, f.bob.pub);
  for (const size_t early_size : {size_t{0}, size_t{58}, size_t{600}}) {
    const auto early = f.bytes(early_size);
    Packet p = f.message(MessageType::initiation, kInitiationSize);
    const auto message = copy(p);
    append_early(p, early);
    append_trailer(p, *pair, {PeerId{{7, 7}}, 2, 0x0102030405060708});
    append_padding(p, f.rng, 900);
    EXPECT_EQ(p.size(), 900u);
    const auto d = parse_handshake_datagram(p.bytes());
    ASSERT_TRUE(d.ok());
    EXPECT_TRUE(equal(d->message, message));
    EXPECT_TRUE(equal(d->early, early));
    ASSERT_TRUE(d->trailer);
    EXPECT_EQ(d->trailer->relay, (PeerId{{7, 7}}));
    EXPECT_EQ(d->trailer->relays_before, 2);
    EXPECT_EQ(d->trailer->number, 0x0102030405060708u);
    EXPECT_TRUE(pair->verify_trailer(d->signed_part, d->trailer->mac));
  }
}

TEST(HandshakeDatagram, AForgedTrailerDoesNotVerify) {
  Fixture f;
  const auto pair = PairKeys::derive(kNetwork, f.alice, f.bob.pub);
  Packet p = f.message(MessageType::initiation, kInitiationSize);
  append_early(p, f.bytes(58));
  append_trailer(p, *pair, {PeerId{{7}}, 0, 1});
  const size_t end = p.size();
  for (size_t at = 4; at < end; at++) {
    if (at == 148 || at == 149) continue;  // the length field moves the trailer
    p.data()[at] ^= 1;
    const auto d = parse_handshake_datagram(p.bytes());
    if (d.ok()) {
      ASSERT_FALSE(pair->verify_trailer(d->signed_part, d->trailer->mac)) << at;
    }
    p.data()[at] ^= 1;
  }
}

TEST(HandshakeDatagram, RefusesLengthsThatPointOutside) {
  Fixture f;
  Packet p = f.message(MessageType::initiation, kInitiationSize);
  EXPECT_EQ(parse_handshake_datagram(p.bytes()).error(), Drop::malformed);  // no length field
  append_early(p, f.bytes(10));
  ASSERT_TRUE(parse_handshake_datagram(p.bytes()).ok());
  for (const uint16_t length :
       {uint16_t{11}, uint16_t{0x7ff}, uint16_t{0x800}, uint16_t{0x4000}, uint16_t{0x800a}}) {
    store_le16(p.data() + 148, length);
    EXPECT_EQ(parse_handshake_datagram(p.bytes()).error(), Drop::malformed) << length;
  }
}

TEST(HandshakeDatagram, CutsResponsesAndCookieRepliesToSize) {
  Fixture f;
  for (const auto& [type, size] :
       {std::pair{MessageType::response, kResponseSize}, {MessageType::cookie_reply, kCookieReplySize}}) {
    Packet p = f.message(type, size);
    append_padding(p, f.rng, 333);
    const auto d = parse_handshake_datagram(p.bytes());
    ASSERT_TRUE(d.ok());
    EXPECT_EQ(d->type, type);
    EXPECT_EQ(d->message.size(), size);
    EXPECT_TRUE(d->early.empty());
    p.truncate(size - 1);
    EXPECT_FALSE(parse_handshake_datagram(p.bytes()).ok());
  }
}

TEST(HandshakeDatagram, RefusesMoreThanTheLimitAndOtherTypes) {
  Fixture f;
  Packet p = f.message(MessageType::response, kMaxHandshakeDatagram);
  EXPECT_TRUE(parse_handshake_datagram(p.bytes()).ok());
  p = f.message(MessageType::response, kMaxHandshakeDatagram + 1);
  EXPECT_EQ(parse_handshake_datagram(p.bytes()).error(), Drop::too_large);
  p = f.message(MessageType::transport, 96);
  EXPECT_EQ(parse_handshake_datagram(p.bytes()).error(), Drop::malformed);
}

}  // namespace
}  // namespace macrovpn::encryption
