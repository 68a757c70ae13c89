#include "shell/config/invite.h"

#include <gtest/gtest.h>

#include "shell/config/network_file.h"

namespace macrovpn::shell {
namespace {

struct InviteTest : ::testing::Test {
  InviteTest() {
    network.name = "our lab";
    network.signed_at = wall_from_unix(1'790'000'000);
    network.pow_bits = 11;
    network.guard_age = 90s;
    for (const char* range : {"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"})
      network.extra_global.push_back(*IpPrefix::parse(range));
    for (uint8_t i = 0; i < 14; i++) network.seeds.push_back(seed(i));
    key = crypto::ed25519_generate(rng);
    text = sign_network_file(network, key);
    network = *parse_network_file(text, "n");
  }
  Seed seed(uint8_t n) {
    return {{rng.bytes<32>()}, {rng.bytes<32>()}, {{IpAddress::v4(0xc6336400u + n), 51820}, *Endpoint::parse("[2001:db8::1]:443")}};
  }
  Invite invite(size_t relays = 3) {
    return {network, *signature_without_seeds(text), {network.seeds.begin(), network.seeds.begin() + static_cast<ptrdiff_t>(relays)}};
  }
  SeededRng rng{3};
  crypto::SigningKey key;
  Network network;
  std::string text;
};

TEST_F(InviteTest, CarriesTheRulesAndTheFirstRelaysAndFitsIntoAQrCode) {
  const std::string link = *to_link(invite());
  EXPECT_LE(link.size(), 900u);
  const auto back = parse_invite(link);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->network.id, network.id);
  EXPECT_EQ(back->network.name, network.name);
  EXPECT_EQ(back->network.signed_at, network.signed_at);
  EXPECT_EQ(back->network.pow_bits, 11u);
  EXPECT_EQ(back->network.guard_age, network.guard_age);
  EXPECT_EQ(back->network.extra_global, network.extra_global);
  EXPECT_TRUE(back->network.seeds.empty());
  EXPECT_EQ(back->relays, invite().relays);
}

TEST_F(InviteTest, WhoJoinedByItMayInviteOthers) {
  const Invite first = *parse_invite(*to_link(invite(0)));
  const std::string file = network_file_of(first.network, first.signature);
  EXPECT_EQ(parse_network_file(file, "n")->id, network.id);
  const auto signature = signature_without_seeds(file);
  ASSERT_TRUE(signature);
  EXPECT_TRUE(parse_invite(*to_link({first.network, *signature, {}})));
}

TEST_F(InviteTest, MayBeBrokenOverLines) {
  std::string link = *to_link(invite());
  for (size_t at = 70; at < link.size(); at += 71) link.insert(at, "\r\n");
  EXPECT_TRUE(looks_like_invite(" \n" + link));
  EXPECT_TRUE(parse_invite(" \n" + link + "\n").ok());
}

TEST_F(InviteTest, SaysThatItWasCutOff) {
  const std::string link = *to_link(invite());
  for (size_t size = 9; size < link.size(); size++) {
    const auto cut = parse_invite(link.substr(0, size));
    ASSERT_FALSE(cut.ok()) << size;
    EXPECT_NE(cut.error().message.find("was cut off"), std::string::npos) << size << " " << cut.error().message;
  }
}

TEST_F(InviteTest, NoCharacterMayBeMistyped) {
  const std::string link = *to_link(invite());
  for (size_t i = 0; i < link.size(); i++) {
    for (const char c : {'A', 'z', '!', '+'}) {
      std::string bad = link;
      if (bad[i] == c) continue;
      bad[i] = c;
      EXPECT_FALSE(parse_invite(bad).ok()) << i << c;
    }
  }
  EXPECT_FALSE(parse_invite(link + "A").ok());
  EXPECT_FALSE(parse_invite(link + link).ok());
  EXPECT_FALSE(parse_invite("").ok());
}

// The checksum is nobody's secret: the signature is what holds.
TEST_F(InviteTest, ARuleThatItsOwnerDidNotSignIsRefused) {
  Invite forged = invite();
  forged.network.pow_bits = 0;
  EXPECT_FALSE(parse_invite(*to_link(forged)).ok());
  forged = invite();
  forged.network.signed_at += 1s;
  EXPECT_FALSE(parse_invite(*to_link(forged)).ok());
  forged = invite();
  forged.network.key.bytes[0] ^= 1;
  EXPECT_FALSE(parse_invite(*to_link(forged)).ok());
}

TEST_F(InviteTest, WhatDoesNotFitIsSaid) {
  Network many = network;
  for (uint8_t i = 0; i < 60; i++) many.extra_global.push_back(IpPrefix::of(IpAddress::v6({0x20, i, 1}), 32));
  text = sign_network_file(many, key);
  EXPECT_FALSE(to_link({*parse_network_file(text, "n"), *signature_without_seeds(text), {}}).ok());
}

}  // namespace
}  // namespace macrovpn::shell
