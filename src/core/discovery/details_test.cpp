#include "core/discovery/details.h"

#include <gtest/gtest.h>

#include "core/discovery/body.h"
#include "crypto/x25519.h"

namespace macrovpn::discovery {
namespace {

using Buffer = std::vector<uint8_t>;
constexpr NetworkId kNetwork{{1, 2, 3, 4, 5, 6, 7, 8}};
const Wall kNow = wall_from_unix(1'800'000'000);

PeerId peer(uint8_t n) {
  PeerId id;
  id.bytes.fill(n);
  return id;
}

RelayDetails all() {
  RelayDetails d;
  d.protocols = {1, 3};
  d.introducers = {peer(3), peer(1)};
  d.price = PriceClass{30};
  d.exit_ports = {ExitPorts::Kind::listed, {{80, 80}, {443, 443}, {1024, 65535}}};
  d.tls = TlsEntry{443, {7}, "files.example"};
  d.work = WorkProof{694, 0x0102030405060708, 0x00112233445566};
  d.measured = MeasuredRelays{0x0b97, {{3, 120}, {0x0102030405060708, 0}}, {{2, 99}}};
  return d;
}

bool parses(DetailTag tag, const Buffer& value) {
  RelayDetails out;
  return parse_detail(tag, value, out);
}

TEST(Details, HaveTheLayoutOfTheProtocolPage) {
  Buffer out;
  encode_details(all(), out);
  EXPECT_EQ(to_hex(out),
            "0c020103"
            "0d28" "0303030303030303030303030303030303030303" "0101010101010101010101010101010101010101"
            "0e011e"
            "0f0d00" "50005000" "bb01bb01" "0004ffff"
            "102f" "bb01" "0700000000000000000000000000000000000000000000000000000000000000" "66696c65732e6578616d706c65"
            "1112" "b602" "0807060504030201" "0000112233445566"
            "121e" "970b" "02" "0000000000000003" "78" "0102030405060708" "00" "0000000000000002" "63");
}

TEST(Details, ComeBackOutOfASignedDescriptor) {
  SeededRng rng(3);
  const auto key = crypto::ed25519_generate(rng);
  RelayInfo relay;
  relay.wireguard = crypto::x25519_generate(rng).pub;
  relay.endpoints = {*Endpoint::parse("192.0.2.7:51820")};
  relay.created = kNow - std::chrono::hours(5);
  const auto d = open_descriptor(sign_descriptor(relay, kNetwork, key, kNow, std::nullopt, all()), kNetwork);
  ASSERT_TRUE(d.ok()) << d.error().message;
  EXPECT_EQ(d->details, all());
  const auto plain = open_descriptor(sign_descriptor(relay, kNetwork, key, kNow), kNetwork);
  EXPECT_EQ(plain->details, RelayDetails{});
  EXPECT_LT(plain->bytes.size() + 130, d->bytes.size());
}

TEST(Details, HaveOneEncodingOnly) {
  EXPECT_FALSE(parses(DetailTag::protocols, {1, 1})) << "the default is not written";
  EXPECT_FALSE(parses(DetailTag::protocols, {2, 1}));
  EXPECT_FALSE(parses(DetailTag::protocols, {0, 1}));
  EXPECT_TRUE(parses(DetailTag::protocols, {2, 2}));
  EXPECT_FALSE(parses(DetailTag::price, {0}));
  EXPECT_FALSE(parses(DetailTag::price, {64}));
  EXPECT_TRUE(parses(DetailTag::price, {63}));
  EXPECT_FALSE(parses(DetailTag::exit_ports, {1})) << "the default";
  EXPECT_TRUE(parses(DetailTag::exit_ports, {2}));
  EXPECT_FALSE(parses(DetailTag::exit_ports, {2, 1, 0, 1, 0})) << "ranges beside a preset";
  EXPECT_FALSE(parses(DetailTag::exit_ports, {3}));
  EXPECT_FALSE(parses(DetailTag::exit_ports, {0})) << "no range";
}

TEST(Details, TakeResultsInOrderAndNoneTwice) {
  const auto with = [](uint8_t of_now, std::initializer_list<uint64_t> targets) {
    Buffer value;
    Writer(value).le16(7).u8(of_now);
    for (const uint64_t t : targets) Writer(value).be64(t).u8(9);
    return parses(DetailTag::measured, value);
  };
  EXPECT_TRUE(with(1, {5}));
  EXPECT_TRUE(with(2, {5, 6, 1, 9})) << "two of this week, two of the one before";
  EXPECT_TRUE(with(1, {5, 5})) << "once in each";
  EXPECT_FALSE(with(2, {5, 5}));
  EXPECT_FALSE(with(2, {6, 5}));
  EXPECT_FALSE(with(1, {1, 6, 5}));
  EXPECT_FALSE(with(0, {5})) << "then it would be a list of the week before";
  EXPECT_FALSE(with(0, {}));
  EXPECT_FALSE(with(2, {5})) << "fewer than it says";
  EXPECT_FALSE(parses(DetailTag::measured, {7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5})) << "cut off";
  Buffer many;
  Writer(many).le16(7).u8(kMaxMeasured);
  for (uint64_t i = 0; i < kMaxMeasured; i++) Writer(many).be64(i).u8(9);
  EXPECT_TRUE(parses(DetailTag::measured, many));
  Writer(many).be64(99).u8(9);
  EXPECT_FALSE(parses(DetailTag::measured, many));
}

TEST(Details, TakePortRangesThatAscendAndDoNotTouch) {
  EXPECT_TRUE(parses(DetailTag::exit_ports, {0, 1, 0, 5, 0, 7, 0, 9, 0}));
  EXPECT_FALSE(parses(DetailTag::exit_ports, {0, 1, 0, 5, 0, 6, 0, 9, 0})) << "would be one range";
  EXPECT_FALSE(parses(DetailTag::exit_ports, {0, 7, 0, 9, 0, 1, 0, 5, 0}));
  EXPECT_FALSE(parses(DetailTag::exit_ports, {0, 0, 0, 5, 0})) << "port 0";
  EXPECT_FALSE(parses(DetailTag::exit_ports, {0, 5, 0, 1, 0}));
  EXPECT_FALSE(parses(DetailTag::exit_ports, {0, 5, 0, 5}));
  Buffer many{0};
  for (uint16_t i = 0; i < kMaxPortRanges; i++) Writer(many).le16(static_cast<uint16_t>(10 * i + 1)).le16(static_cast<uint16_t>(10 * i + 2));
  EXPECT_TRUE(parses(DetailTag::exit_ports, many));
  Writer(many).le16(9000).le16(9000);
  EXPECT_FALSE(parses(DetailTag::exit_ports, many));
}

TEST(Details, TakeOneToThreeIntroducersAndNoneTwice) {
  Buffer value;
  EXPECT_FALSE(parses(DetailTag::introducers, value));
  for (uint8_t i = 1; i <= 3; i++) {
    Writer(value).bytes(peer(i).bytes);
    EXPECT_TRUE(parses(DetailTag::introducers, value));
  }
  Writer(value).bytes(peer(4).bytes);
  EXPECT_FALSE(parses(DetailTag::introducers, value));
  value.resize(30);
  EXPECT_FALSE(parses(DetailTag::introducers, value));
  EXPECT_FALSE(parses(DetailTag::introducers, Buffer(40, 9)));
}

TEST(Details, TakeServerNamesThatAHostCouldHave) {
  const auto with = [](const std::string& name, uint16_t port = 443) {
    Buffer value;
    Writer(value).le16(port).zeros(32).bytes(as_bytes(name));
    return parses(DetailTag::tls, value);
  };
  EXPECT_TRUE(with("a"));
  EXPECT_TRUE(with("files-2.example.net"));
  EXPECT_TRUE(with(std::string(63, 'a')));
  for (const char* bad : {"", "A.example", "a b", ".a", "a.", "a\n", "a/b"}) EXPECT_FALSE(with(bad)) << bad;
  EXPECT_FALSE(with(std::string(64, 'a')));
  EXPECT_FALSE(with("a", 0));
  EXPECT_FALSE(parses(DetailTag::tls, Buffer(20, 1)));
}

TEST(Details, SayWhichPortsAnExitGoesTo) {
  EXPECT_TRUE(ExitPorts{}.allows(22));
  EXPECT_FALSE(ExitPorts{}.allows(25));
  const ExitPorts web{ExitPorts::Kind::web, {}};
  EXPECT_TRUE(web.allows(80) && web.allows(443));
  EXPECT_FALSE(web.allows(22));
  EXPECT_TRUE(all().exit_ports.allows(1024));
  EXPECT_FALSE(all().exit_ports.allows(1023));
}

}  // namespace
}  // namespace macrovpn::discovery
