#include "core/discovery/stun.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace macrovpn::discovery::stun {
namespace {

using Buffer = std::vector<uint8_t>;

TransactionId id_of(const std::string& hex) {
  return *to_array<12>(*from_hex(hex));
}

// RFC 5769 §2.2 and §2.3: answers with SOFTWARE, MESSAGE-INTEGRITY and FINGERPRINT.
constexpr const char* kSampleV4 =
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643000800142b91f599fd9e"
    "90c38c7489f92af9ba53f06be7d780280004c07d4c96";
constexpr const char* kSampleV6 =
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2"
    "b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";

TEST(Stun, ReadsThePublishedAnswers) {
  const auto four = read(*from_hex(kSampleV4), Extent::exact);
  ASSERT_TRUE(four && four->mapped);
  EXPECT_EQ(four->kind, Kind::answer);
  EXPECT_EQ(*four->mapped, *Endpoint::parse("192.0.2.1:32853"));
  const auto six = read(*from_hex(kSampleV6), Extent::exact);
  ASSERT_TRUE(six && six->mapped);
  EXPECT_EQ(*six->mapped, *Endpoint::parse("[2001:db8:1234:5678:11:2233:4455:6677]:32853"));
}

TEST(Stun, WritesTheAddressOfThePublishedAnswers) {
  const TransactionId id = id_of("b7e7a701bc34d686fa87dfae");
  EXPECT_EQ(to_hex(write_answer(id, *Endpoint::parse("192.0.2.1:32853"))),
            "0101000c2112a442b7e7a701bc34d686fa87dfae002000080001a147e112a643");
  EXPECT_EQ(to_hex(write_answer(id, *Endpoint::parse("[2001:db8:1234:5678:11:2233:4455:6677]:32853"))),
            "010100182112a442b7e7a701bc34d686fa87dfae002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9");
}

TEST(Stun, AnswersAreNoLargerThanTheLeastRequest) {
  EXPECT_EQ(write_answer({}, *Endpoint::parse("192.0.2.1:1")).size(), 32u);
  EXPECT_EQ(write_answer({}, *Endpoint::parse("[2001:db8::1]:1")).size(), 44u);
  EXPECT_EQ(write_answer({}, *Endpoint::parse("[2001:db8::1]:1"), Called::yes).size(), kLargestAnswer);
  EXPECT_EQ(write_indication({}, *Endpoint::parse("[2001:db8::1]:1"), {}, 1).size(), kLargestIndication);
  EXPECT_LE(kLargestAnswer, kLeastRequest);
  EXPECT_LE(2 * kLargestAnswer + kLargestIndication, kLeastCallBack);
}

TEST(Stun, QuestionsComeBackAsTheyWereAsked) {
  const TransactionId id = id_of("000102030405060708090a0b");
  const auto plain = read(write_request(id), Extent::exact);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->kind, Kind::request);
  EXPECT_EQ(plain->id, id);
  EXPECT_EQ(plain->answer_from, From::same);
  EXPECT_FALSE(plain->call_back || plain->mapped || plain->peer || plain->vouch);
  const PeerId other{*to_array<20>(Buffer(20, 7))};
  const auto full = read(write_request(id, {From::other_port, other}), Extent::exact);
  ASSERT_TRUE(full);
  EXPECT_EQ(full->answer_from, From::other_port);
  EXPECT_EQ(full->call_back, other);
  const Buffer wide = write_padded_request(id, 48);
  EXPECT_EQ(wide.size(), 48u);
  EXPECT_TRUE(read(wide, Extent::exact));
}

TEST(Stun, PaddingMayFollowOnlyWhereItIsAllowed) {
  Buffer d = write_request({});
  d.resize(90, 0xee);
  EXPECT_FALSE(read(d, Extent::exact));
  const auto m = read(d, Extent::shorter);
  ASSERT_TRUE(m);
  EXPECT_EQ(m->size, kHeader);
}

TEST(Stun, AVouchIsTheLastAttributeAndItsMacCoversAllBeforeIt) {
  const PeerId self{*to_array<20>(Buffer(20, 9))};
  Buffer d = write_indication({}, *Endpoint::parse("192.0.2.9:4000"), self, 77);
  set_mac(d, crypto::Mac16{1, 2, 3});
  const auto m = read(d, Extent::exact);
  ASSERT_TRUE(m && m->vouch && m->peer);
  EXPECT_EQ(m->peer, *Endpoint::parse("192.0.2.9:4000"));
  EXPECT_EQ(m->vouch->relay, self);
  EXPECT_EQ(m->vouch->number, 77u);
  EXPECT_EQ(m->vouch->mac[2], 3);
  EXPECT_EQ(signed_part(d, *m).size(), d.size() - 16);
  // Another address behind it would not be covered.
  const Buffer more = write_answer({}, *Endpoint::parse("192.0.2.10:4000"));
  d.insert(d.end(), more.begin() + kHeader, more.end());
  store_be16(&d[2], static_cast<uint16_t>(d.size() - kHeader));
  EXPECT_FALSE(read(d, Extent::exact));
}

TEST(Stun, RefusesWhatItMustUnderstandAndDoesNot) {
  Buffer d = write_request({});
  const auto with = [&](uint16_t type, size_t length, size_t there) {
    Buffer b = d;
    Writer(b).be16(type).be16(static_cast<uint16_t>(length)).zeros(there);
    store_be16(&b[2], static_cast<uint16_t>(b.size() - kHeader));
    return b;
  };
  EXPECT_FALSE(read(with(0x0006, 4, 4), Extent::exact)) << "USERNAME: an ICE check, not for us";
  EXPECT_TRUE(read(with(0x8022, 5, 8), Extent::exact)) << "SOFTWARE need not be understood";
  EXPECT_FALSE(read(with(0x8022, 9, 8), Extent::exact)) << "longer than the message";
  EXPECT_FALSE(read(with(0x0020, 8, 8), Extent::exact)) << "an address of no family";
  EXPECT_FALSE(read(with(0x0003, 8, 8), Extent::exact));
  Buffer other = d;
  other[4] ^= 1;
  EXPECT_FALSE(read(other, Extent::exact)) << "another cookie: RFC 3489";
  Buffer method = d;
  method[1] = 3;
  EXPECT_FALSE(read(method, Extent::exact)) << "Allocate, of TURN";
  for (size_t n = 0; n < d.size(); n++) EXPECT_FALSE(read(Bytes(d).first(n), Extent::exact));
}

TEST(Stun, TellsOtherPortsFromOtherAddresses) {
  for (const From from : {From::same, From::other_port, From::other_address}) {
    const auto m = read(write_request({}, {from, {}}), Extent::exact);
    ASSERT_TRUE(m);
    EXPECT_EQ(m->answer_from, from);
  }
}

TEST(Stun, HasABoundOnAttributes) {
  for (const size_t n : {kMaxAttributes, kMaxAttributes + 1}) {
    Buffer d = write_request({});
    for (size_t i = 0; i < n; i++) Writer(d).be16(0x8022).be16(0);
    store_be16(&d[2], static_cast<uint16_t>(d.size() - kHeader));
    EXPECT_EQ(read(d, Extent::exact).has_value(), n == kMaxAttributes);
  }
}

}  // namespace
}  // namespace macrovpn::discovery::stun
