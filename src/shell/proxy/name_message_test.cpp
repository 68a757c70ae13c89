#include "shell/proxy/name_message.h"

#include <gtest/gtest.h>

namespace macrovpn::shell {
namespace {

using routing::DnsMessage;
using routing::DnsName;
using routing::DnsSection;

const NameQuestion kQuestion{*DnsName::parse("www.Shop.test"), IpFamily::v4, 0x1234};

DnsMessage answer_to(const NameQuestion& q) {
  DnsMessage m = *routing::parse_dns(encode_question(q));
  m.is_response = true;
  return m;
}
void add(DnsMessage& m, const char* name, uint16_t type, std::vector<uint8_t> data) {
  m.section(DnsSection::answer).push_back({*DnsName::parse(name), type, 1, 60, std::move(data)});
}
std::optional<NameAnswer> read(const DnsMessage& m, const NameQuestion& q = kQuestion) {
  return read_answer(encode_dns(m, SIZE_MAX), q);
}

TEST(NameMessage, AsksWithRecursionAndEdns) {
  const auto m = routing::parse_dns(encode_question(kQuestion));
  ASSERT_TRUE(m.ok());
  EXPECT_EQ(m->id, 0x1234);
  EXPECT_TRUE(m->recursion_desired && !m->is_response);
  EXPECT_EQ(m->question->type, routing::kDnsA);
  EXPECT_EQ(m->edns_udp_size, routing::kDnsSafeUdp);
}

TEST(NameMessage, TakesTheFirstAddressesBehindAnAlias) {
  DnsMessage m = answer_to(kQuestion);
  const DnsName alias = *DnsName::parse("a.test");
  add(m, "www.shop.test", routing::kDnsCname, {alias.wire().begin(), alias.wire().end()});
  for (uint8_t i = 1; i <= 9; i++) add(m, "a.test", routing::kDnsA, {192, 0, 2, i});
  add(m, "a.test", routing::kDnsTxt, {1, 'x'});
  const auto a = read(m);
  ASSERT_TRUE(a);
  EXPECT_EQ(a->outcome, Outcome::connected);
  EXPECT_EQ(a->addresses.size(), kMaxAddressesOfName);
  EXPECT_EQ(a->addresses.front(), IpAddress::parse("192.0.2.1"));
}

TEST(NameMessage, TellsAbsentNamesFromFailures) {
  DnsMessage m = answer_to(kQuestion);
  EXPECT_EQ(read(m)->outcome, Outcome::no_such_name) << "no address";
  m.code = routing::DnsCode::name_error;
  EXPECT_EQ(read(m)->outcome, Outcome::no_such_name);
  for (const auto code : {routing::DnsCode::server_failure, routing::DnsCode::refused}) {
    m.code = code;
    EXPECT_EQ(read(m)->outcome, Outcome::name_failed);
  }
  m.truncated = true;
  EXPECT_TRUE(read(m)->truncated);
}

TEST(NameMessage, TakesNoAnswerToAnotherQuestion) {
  const DnsMessage good = answer_to(kQuestion);
  ASSERT_TRUE(read(good));
  DnsMessage m = good;
  m.id++;
  EXPECT_FALSE(read(m));
  m = good;
  m.is_response = false;
  EXPECT_FALSE(read(m));
  m = good;
  m.question->type = routing::kDnsAaaa;
  EXPECT_FALSE(read(m));
  m = good;
  m.question->name = *DnsName::parse("other.test");
  EXPECT_FALSE(read(m));
  m = good;
  m.question.reset();
  EXPECT_FALSE(read(m));
  EXPECT_FALSE(read_answer(Bytes(encode_dns(good, SIZE_MAX)).first(20), kQuestion));
}

}  // namespace
}  // namespace macrovpn::shell
