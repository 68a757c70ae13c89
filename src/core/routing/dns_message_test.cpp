#include "core/routing/dns_message.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "core/routing/dns_filter.h"

namespace macrovpn::routing {
namespace {

DnsName name(const char* text) {
  return *DnsName::parse(text);
}
std::vector<uint8_t> bytes(const char* hex) {
  return *from_hex(hex);
}

// The answer section of RFC 1035 §4.1.4 in use: F.ISI.ARPA, and a CNAME that points into the question.
TEST(ParseDns, FollowsCompressionBackwards) {
  const auto wire = bytes(
      "abcd8180000100020000000003777777076578616d706c65036f726700"  // www.example.org
      "00010001c00c000500010000003c0006036e6577c010"                // CNAME new.example.org
      "c02d000100010000003c00045db8d822");
  const auto m = parse_dns(wire);
  ASSERT_TRUE(m);
  EXPECT_EQ(m->question->name, name("www.example.org"));
  const auto& answers = m->section(DnsSection::answer);
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_TRUE(equal(answers[0].data, name("new.example.org").wire()));
  EXPECT_EQ(answers[1].name, name("new.example.org"));
  EXPECT_EQ(answers[1].ttl, 60u);
}

TEST(ParseDns, RefusesLoopsForwardPointersAndLeftovers) {
  const auto with_name = [](const char* hex) {
    return bytes((std::string("000001000001000000000000") + hex + "00010001").c_str());
  };
  EXPECT_TRUE(parse_dns(with_name("016100")));
  EXPECT_FALSE(parse_dns(with_name("c00c")));      // itself
  EXPECT_FALSE(parse_dns(with_name("0161c00c")));  // round and round
  EXPECT_FALSE(parse_dns(with_name("c010")));      // forwards
  EXPECT_FALSE(parse_dns(with_name("c000")));      // into the header
  EXPECT_FALSE(parse_dns(with_name("4161")));      // reserved label type
  auto extra = with_name("016100");
  extra.push_back(0);
  EXPECT_EQ(parse_dns(extra).error(), DnsDrop::trailing);
  auto two = with_name("016100");
  two[5] = 2;
  EXPECT_EQ(parse_dns(two).error(), DnsDrop::bad_counts);
  auto many = with_name("016100");
  many[6] = 2;
  EXPECT_EQ(parse_dns(many).error(), DnsDrop::bad_counts);
}

TEST(ParseDns, RefusesDataThatDoesNotFillItsLength) {
  const auto record = [](const char* hex) {
    return bytes((std::string("0000800000000001000000000161000001000100000001") + hex).c_str());
  };
  EXPECT_TRUE(parse_dns(record("000401020304")));
  EXPECT_FALSE(parse_dns(record("00050102030405")));
  EXPECT_FALSE(parse_dns(record("0003010203")));
  EXPECT_FALSE(parse_dns(record("0004010203")));
}

TEST(ParseDns, SurvivesRandomAndDamagedBytes) {
  const auto good = bytes(
      "abcd8180000100020000000003777777076578616d706c65036f72670000010001c00c000500010000003c0006036e6577c010"
      "c02d000100010000003c00045db8d822");
  SeededRng rng(5);
  for (int i = 0; i < 20000; i++) {
    auto wire = good;
    for (uint64_t k = rng.below(4); k-- > 0;) wire[rng.below(wire.size())] = static_cast<uint8_t>(rng.u32());
    wire.resize(rng.below(4) == 0 ? rng.below(wire.size()) : wire.size());
    const auto m = parse_dns(wire);
    if (!m) continue;
    const auto again = parse_dns(encode_dns(*m, 65535));
    ASSERT_TRUE(again);
    ASSERT_EQ(again->question, m->question);
    for (size_t s = 0; s < 3; s++) {
      ASSERT_EQ(again->records[s].size(), m->records[s].size());
      for (size_t r = 0; r < m->records[s].size(); r++) {
        ASSERT_EQ(again->records[s][r].name, m->records[s][r].name);
        ASSERT_EQ(again->records[s][r].data, m->records[s][r].data);
      }
    }
  }
}

TEST(EncodeDns, CompressesNamesAndCutsWhatDoesNotFit) {
  DnsMessage m;
  m.is_response = true;
  m.question = DnsQuestion{name("www.example.org"), kDnsA};
  for (uint8_t i = 0; i < 29; i++)
    m.section(DnsSection::answer).push_back({name("www.example.org"), kDnsA, kDnsClassIn, 60, {1, 2, 3, i}});
  const auto whole = encode_dns(m, 512);
  EXPECT_EQ(whole.size(), 12 + 17 + 4 + 29 * 16u);
  for (uint8_t i = 0; i < 2; i++)
    m.section(DnsSection::answer).push_back({name("mail.example.org"), kDnsA, kDnsClassIn, 60, {1, 2, 3, i}});
  const auto cut = parse_dns(encode_dns(m, 512));
  ASSERT_TRUE(cut);
  EXPECT_TRUE(cut->truncated);
  EXPECT_TRUE(cut->section(DnsSection::answer).empty());
  EXPECT_EQ(parse_dns(encode_dns(m, 65535))->section(DnsSection::answer).size(), 31u);
}

TEST(DnsName, ComparesWholeLabelsWithoutCase) {
  EXPECT_TRUE(name("Printer.LOCAL").ends_in("local"));
  EXPECT_FALSE(name("notlocal").ends_in("local"));
  EXPECT_TRUE(name("a.HOME.arpa.").ends_in("home.arpa"));
  EXPECT_EQ(name("ExAmple.ORG").lowered(), name("example.org"));
  EXPECT_FALSE(DnsName::parse("a..b"));
  EXPECT_FALSE(DnsName::parse(std::string(64, 'a')));
  EXPECT_TRUE(DnsName::parse(std::string(63, 'a')));
  EXPECT_FALSE(DnsName::parse(std::string(63, 'a') + "." + std::string(63, 'b') + "." + std::string(63, 'c') +
                              "." + std::string(62, 'd')));
}

bool not_ten(const IpAddress& a) {
  return a.bytes()[0] != 10 && a.bytes()[0] != 0xfd;
}

TEST(JudgeQuestion, KeepsTheHostsNetworkToItself) {
  const auto judge = [](const char* n, uint16_t type) { return judge_question({name(n), type}, not_ten); };
  EXPECT_EQ(judge("example.org", kDnsA), DnsAsk::forward);
  EXPECT_EQ(judge("www.example.test", kDnsAaaa), DnsAsk::forward);
  for (const uint16_t t : {kDnsAny, kDnsAxfr, kDnsIxfr, kDnsOpt})
    EXPECT_EQ(judge("example.org", t), DnsAsk::refuse);
  EXPECT_EQ(judge("example.org", 0), DnsAsk::refuse);
  EXPECT_EQ(judge_question({name("version.bind"), kDnsTxt, 3}, not_ten), DnsAsk::refuse);
  for (const char* n : {"printer", "nas.local", "LocalHost", "router.lan", "x.home.arpa", "abc.onion"})
    EXPECT_EQ(judge(n, kDnsA), DnsAsk::name_error) << n;
  EXPECT_EQ(judge("1.2.3.10.in-addr.arpa", kDnsPtr), DnsAsk::name_error);
  EXPECT_EQ(judge("10.in-addr.arpa", kDnsPtr), DnsAsk::name_error);
  EXPECT_EQ(judge("4.3.2.1.in-addr.arpa", kDnsPtr), DnsAsk::forward);
  EXPECT_EQ(judge("x.3.2.1.in-addr.arpa", kDnsPtr), DnsAsk::name_error);
  EXPECT_EQ(judge("d.f.ip6.arpa", kDnsPtr), DnsAsk::name_error);
}

TEST(RemovePrivate, TakesOutAddressesAndHints) {
  DnsMessage m;
  auto add = [&](uint16_t type, const char* hex) {
    m.section(DnsSection::answer).push_back({name("x.org"), type, kDnsClassIn, 1, bytes(hex)});
  };
  add(kDnsA, "0a000001");
  add(kDnsA, "01020304");
  add(kDnsAaaa, "fd000000000000000000000000000001");
  add(kDnsHttps, "0001000004000401020304");
  add(kDnsHttps, "00010000040008010203040a000001");
  add(kDnsHttps, "00010000060010fd000000000000000000000000000001");
  add(kDnsSvcb, "0001000004000301020304");
  add(kDnsTxt, "0401020304");
  EXPECT_EQ(remove_private(m, not_ten), 5u);
  EXPECT_EQ(m.section(DnsSection::answer).size(), 3u);
}

}  // namespace
}  // namespace macrovpn::routing
