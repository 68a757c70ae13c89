#include "core/routing/exit_policy.h"

#include <gtest/gtest.h>

namespace macrovpn::routing {
namespace {

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

ExitPolicy policy() {
  return {{{*IpPrefix::parse("192.0.2.0/24")},
           {ip("192.0.2.77"), ip("5.5.5.5"), ip("2a00::5")},
           {*IpPrefix::parse("192.0.2.0/25"), *IpPrefix::parse("5.5.5.0/24"), *IpPrefix::parse("2a00::/64")}},
          [](const Endpoint& e) { return e == *Endpoint::parse("9.9.9.9:51820"); }};
}

struct Case {
  const char* address;
  uint16_t port;
  IpProtocol protocol;
  ExitVerdict want;
};

TEST(ExitPolicy, GivesTheReason) {
  const ExitPolicy p = policy();
  const auto tcp = IpProtocol::tcp, udp = IpProtocol::udp;
  const Case cases[] = {
      {"1.1.1.1", 443, tcp, ExitVerdict::allowed},
      {"2606:4700::1", 443, udp, ExitVerdict::allowed},
      {"192.0.2.1", 80, tcp, ExitVerdict::allowed},  // a lab's block wins over own networks
      {"192.0.2.77", 80, tcp, ExitVerdict::own_address},
      {"::ffff:192.0.2.77", 80, tcp, ExitVerdict::own_address},
      {"64:ff9b::5.5.5.5", 80, tcp, ExitVerdict::own_address},
      {"5.5.5.6", 80, tcp, ExitVerdict::own_network},
      {"::ffff:5.5.5.6", 80, tcp, ExitVerdict::own_network},
      {"2a00::6", 80, tcp, ExitVerdict::own_network},
      {"10.0.0.1", 80, tcp, ExitVerdict::not_global},
      {"::ffff:10.0.0.1", 80, tcp, ExitVerdict::not_global},
      {"64:ff9b::127.0.0.1", 80, udp, ExitVerdict::not_global},
      {"127.0.0.1", 53, udp, ExitVerdict::not_global},
      {"fd00::1", 53, udp, ExitVerdict::not_global},
      {"ff02::1", 5353, udp, ExitVerdict::not_global},
      {"255.255.255.255", 67, udp, ExitVerdict::not_global},
      {"9.9.9.9", 51820, udp, ExitVerdict::relay_endpoint},
      {"9.9.9.9", 51820, tcp, ExitVerdict::relay_endpoint},
      {"64:ff9b::9.9.9.9", 51820, udp, ExitVerdict::relay_endpoint},
      {"9.9.9.9", 443, tcp, ExitVerdict::allowed},  // the pair, not the address
      {"1.1.1.1", 25, tcp, ExitVerdict::mail},
      {"1.1.1.1", 25, udp, ExitVerdict::allowed},
      {"1.1.1.1", 587, tcp, ExitVerdict::allowed},
      {"1.1.1.1", 0, IpProtocol{47}, ExitVerdict::protocol},
      {"10.10.0.1", 53, udp, ExitVerdict::dns},
      {"10.10.0.1", 53, tcp, ExitVerdict::dns},
      {"fd86:ea04:1115::1", 53, udp, ExitVerdict::dns},
      {"10.10.0.1", 80, tcp, ExitVerdict::tunnel},
      {"10.10.0.1", 0, IpProtocol::icmp, ExitVerdict::tunnel},
      {"10.10.0.2", 53, udp, ExitVerdict::tunnel},
      {"10.10.7.7", 22, tcp, ExitVerdict::tunnel},
      {"fd86:ea04:1115::2", 53, udp, ExitVerdict::tunnel},
      {"100.64.0.9", 22, tcp, ExitVerdict::tunnel},
      {"::ffff:100.64.0.9", 22, tcp, ExitVerdict::not_global},
      {"fd86:ea04:1115:ffff::9", 22, tcp, ExitVerdict::tunnel},
  };
  for (const Case& c : cases)
    EXPECT_EQ(p.judge(ip(c.address), c.port, c.protocol), c.want)
        << c.address << " " << c.port << " " << to_string(p.judge(ip(c.address), c.port, c.protocol));
}

TEST(ExitPolicy, AnIcmpPacketMustBeAnEchoRequest) {
  IpHeader h;
  h.source = ip("100.64.0.1");
  h.destination = ip("1.1.1.1");
  h.protocol = IpProtocol::icmp;
  h.icmp_type = 8;
  EXPECT_EQ(policy().judge(h), ExitVerdict::allowed);
  h.icmp_type = 5;
  EXPECT_EQ(policy().judge(h), ExitVerdict::protocol);
}

TEST(ExitPolicy, TellsOnlyAddressesThatCouldBeReached) {
  EXPECT_TRUE(policy().may_be_told(ip("1.1.1.1")));
  for (const char* a : {"10.0.0.1", "5.5.5.5", "5.5.5.6", "::ffff:192.168.0.1", "10.10.0.1", "fe80::1"})
    EXPECT_FALSE(policy().may_be_told(ip(a))) << a;
}

TEST(ExitPolicy, FollowsTheHostWhenItMoves) {
  ExitPolicy p = policy();
  p.set_own({ip("6.6.6.6")}, {});
  EXPECT_EQ(p.judge(ip("6.6.6.6"), 80, IpProtocol::tcp), ExitVerdict::own_address);
  EXPECT_EQ(p.judge(ip("5.5.5.5"), 80, IpProtocol::tcp), ExitVerdict::allowed);
}

}  // namespace
}  // namespace macrovpn::routing
