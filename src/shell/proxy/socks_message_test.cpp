#include "shell/proxy/socks_message.h"

#include <gtest/gtest.h>

namespace macrovpn::shell {
namespace {

std::vector<uint8_t> hex(std::string_view s) {
  return *from_hex(s);
}
// A request whose host is a name.
std::vector<uint8_t> by_name(std::string_view name, std::string_view port = "0050", uint8_t command = 1) {
  std::vector<uint8_t> out{5, command, 0, 3, static_cast<uint8_t>(name.size())};
  Writer(out).bytes(as_bytes(name)).bytes(hex(port));
  return out;
}

// What each reader says of every shorter beginning of a whole message.
template <class F>
void expect_more_until_whole(const std::vector<uint8_t>& whole, F read) {
  for (size_t n = 0; n < whole.size(); n++)
    EXPECT_EQ(read(Bytes(whole).first(n)).parse, Parse::more) << n << " of " << whole.size();
  EXPECT_EQ(read(whole).parse, Parse::done);
  EXPECT_EQ(read(whole).used, whole.size());
}

TEST(SocksMessage, ReadsAGreetingAndLeavesWhatFollows) {
  const auto g = read_socks_greeting(hex("05020002ffff"));
  EXPECT_EQ(g.parse, Parse::done);
  EXPECT_EQ(g.used, 4u);
  EXPECT_TRUE(g.open && g.password);
  EXPECT_FALSE(read_socks_greeting(hex("0500")).open);
  EXPECT_TRUE(read_socks_greeting(hex("050102")).password);
  expect_more_until_whole(hex("0503000102"), read_socks_greeting);
}

TEST(SocksMessage, TakesNothingThatIsNotVersion5) {
  EXPECT_EQ(read_socks_greeting(hex("04")).parse, Parse::bad);
  EXPECT_EQ(read_socks_greeting(as_bytes("POST / HTTP/1.1\r\n")).parse, Parse::bad);
  EXPECT_EQ(read_socks_request(hex("04010001")).parse, Parse::bad);
  EXPECT_EQ(read_socks_credentials(hex("0501")).parse, Parse::bad);
}

TEST(SocksMessage, ReadsAUserAndPassesOverThePassword) {
  const auto c = read_socks_credentials(hex("0103616e6e026869aa"));
  EXPECT_EQ(c.parse, Parse::done);
  EXPECT_EQ(c.user, "ann");
  EXPECT_EQ(c.used, 8u);
  expect_more_until_whole(hex("01026869026869"), read_socks_credentials);
  EXPECT_EQ(read_socks_credentials(hex("010000")).user, "");
}

TEST(SocksMessage, ReadsRequestsForAddressesAndNames) {
  const auto v4 = read_socks_request(hex("05010001c00002010050"));
  EXPECT_EQ(v4.parse, Parse::done);
  EXPECT_EQ(v4.target, (Target{IpAddress::parse("192.0.2.1"), "", 80}));
  const auto v6 = read_socks_request(hex("0501000420010db800000000000000000000000101bb"));
  EXPECT_EQ(v6.target, (Target{IpAddress::parse("2001:db8::1"), "", 443}));
  EXPECT_EQ(read_socks_request(by_name("www.shop.test")).target, (Target{std::nullopt, "www.shop.test", 80}));
  for (const auto& whole : {hex("05010001c00002010050"), by_name("a.test")})
    expect_more_until_whole(whole, read_socks_request);
}

TEST(SocksMessage, TakesAddressesSentAsNamesForAddresses) {
  EXPECT_EQ(read_socks_request(by_name("192.0.2.1")).target.address, IpAddress::parse("192.0.2.1"));
  EXPECT_EQ(read_socks_request(by_name("2001:db8::1")).target.address, IpAddress::parse("2001:db8::1"));
  EXPECT_EQ(read_socks_request(by_name("[2001:db8::1]")).target.address, IpAddress::parse("2001:db8::1"));
  EXPECT_EQ(read_socks_request(by_name("::ffff:10.0.0.1")).target.address, IpAddress::parse("10.0.0.1"));
  EXPECT_EQ(read_socks_request(hex("0501000400000000000000000000ffff0a0000010050")).target.address,
            IpAddress::parse("10.0.0.1"));
}

TEST(SocksMessage, RefusesNamesThatMeanAnAddressToSomebodyElse) {
  for (const char* name : {"127.1", "0x7f.0.0.1", "2130706433", "10.0.0.01", "a.0x7f", "", ".", "a b.test",
                           "a..test", "fe80::1%eth0", "[192.0.2.1]", "h\xc3\xb6.test", "a.test:80"}) {
    const auto r = read_socks_request(by_name(name));
    EXPECT_EQ(r.parse, Parse::bad) << name;
    EXPECT_EQ(r.refusal, SocksCode::host_unreachable) << name;
  }
  EXPECT_EQ(read_socks_request(by_name("with_underscore.a-b.test.")).parse, Parse::done);
}

TEST(SocksMessage, AnswersWhatItCannotDoWithTheRightCode) {
  EXPECT_EQ(read_socks_request(by_name("a.test", "0050", 2)).refusal, SocksCode::command_not_supported);
  EXPECT_EQ(read_socks_request(by_name("a.test", "0050", 9)).refusal, SocksCode::command_not_supported);
  EXPECT_EQ(read_socks_request(hex("0501000201")).refusal, SocksCode::address_type_not_supported);
  EXPECT_EQ(read_socks_request(hex("0503000201")).refusal, SocksCode::address_type_not_supported);
  EXPECT_EQ(read_socks_request(by_name("a.test", "0000")).refusal, SocksCode::general_failure);
  // Port 0 and no host are what most programs send to make an association.
  EXPECT_EQ(read_socks_request(hex("05030001000000000000")).parse, Parse::done);
  EXPECT_EQ(read_socks_request(by_name("", "0000", 3)).parse, Parse::done);
}

TEST(SocksMessage, ReadsAndWritesDatagrams) {
  std::vector<uint8_t> d;
  write_socks_datagram_header(*Endpoint::parse("[2001:db8::1]:53"), d);
  d.push_back(0xaa);
  const auto read = read_socks_datagram(d);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->header, d.size() - 1);
  EXPECT_EQ(read->target, (Target{IpAddress::parse("2001:db8::1"), "", 53}));
  d[2] = 1;
  EXPECT_FALSE(read_socks_datagram(d)) << "a fragment";
  EXPECT_FALSE(read_socks_datagram(hex("00000001c00002010000"))) << "port 0";
  EXPECT_FALSE(read_socks_datagram(hex("00000001c0000201"))) << "cut short";
}

TEST(SocksMessage, WritesReplies) {
  EXPECT_EQ(socks_reply(SocksCode::refused, Endpoint{}), hex("05050001000000000000"));
  EXPECT_EQ(socks_reply(SocksCode::succeeded, *Endpoint::parse("127.0.0.1:1080")),
            hex("050000017f0000010438"));
}

TEST(Outcome, HasTheCodesOfTheStandard) {
  EXPECT_EQ(socks_code_of(Outcome::connected), SocksCode::succeeded);
  EXPECT_EQ(socks_code_of(outcome_of(111, {})), SocksCode::refused);
  EXPECT_EQ(socks_code_of(outcome_of(101, {})), SocksCode::network_unreachable);
  EXPECT_EQ(socks_code_of(outcome_of(113, {})), SocksCode::host_unreachable);
  EXPECT_EQ(socks_code_of(outcome_of(110, {})), SocksCode::ttl_expired);
  EXPECT_EQ(socks_code_of(outcome_of(5, {})), SocksCode::general_failure);
  // "Administratively prohibited" by ICMP and ICMPv6.
  EXPECT_EQ(socks_code_of(outcome_of(113, {2, 3, 13})), SocksCode::not_allowed);
  EXPECT_EQ(socks_code_of(outcome_of(13, {3, 1, 1})), SocksCode::not_allowed);
  EXPECT_EQ(socks_code_of(outcome_of(113, {2, 3, 1})), SocksCode::host_unreachable);
  for (size_t i = 0; i < static_cast<size_t>(Outcome::kCount); i++)
    EXPECT_GE(http_answer_of(static_cast<Outcome>(i)).status, 200);
}

}  // namespace
}  // namespace macrovpn::shell
