#include "core/routing/dns_resolver.h"

#include <gtest/gtest.h>

namespace macrovpn::routing {
namespace {

constexpr LeaseNumber kAnn{1}, kBob{2};

class Resolver : public testing::Test {
 protected:
  static DnsLimits limits() {
    DnsLimits l;
    l.flights = 20;
    l.flights_per_lease = 4;
    l.clients_per_flight = 3;
    l.cache.entries_per_lease = 5;
    return l;
  }
  void query(LeaseNumber lease, const char* name, uint16_t type = kDnsA, uint16_t edns = 0,
             DnsTransport transport = DnsTransport::udp) {
    DnsMessage m;
    m.id = static_cast<uint16_t>(++last_id);
    m.question = DnsQuestion{*DnsName::parse(name), type};
    if (edns != 0) m.edns_udp_size = edns;
    resolver.on_query(now, lease, DnsTicket{last_id}, transport, encode_dns(m, 65535), out);
    resolver.check_invariants();
  }
  static DnsMessage answer_to(const DnsEffects::Ask& ask) {
    DnsMessage m = *parse_dns(ask.message);
    m.is_response = true;
    m.edns_udp_size.reset();
    return m;
  }
  static void add_a(DnsMessage& m, std::vector<uint8_t> address, uint32_t ttl = 60) {
    m.section(DnsSection::answer).push_back({m.question->name, kDnsA, kDnsClassIn, ttl, std::move(address)});
  }
  void answer(const DnsEffects::Ask& ask, const DnsMessage& m) {
    const DnsAskId id = ask.id;
    resolver.on_answer(now, id, encode_dns(m, 65535), out);
    resolver.check_invariants();
  }
  void answer_last(std::vector<uint8_t> address = {1, 2, 3, 4}, uint32_t ttl = 60) {
    DnsMessage m = answer_to(out.asks.back());
    add_a(m, std::move(address), ttl);
    answer(DnsEffects::Ask(out.asks.back()), m);
  }
  DnsMessage last_reply() { return *parse_dns(out.replies.back().message); }

  SeededRng rng{1};
  DnsResolver resolver{rng,
                       {*Endpoint::parse("192.0.2.1:53"), *Endpoint::parse("192.0.2.2:53")},
                       [](const IpAddress& a) { return a.bytes()[0] != 10; },
                       limits()};
  DnsEffects out;
  Mono now = Mono(1000s);
  uint64_t last_id = 0;
};

TEST_F(Resolver, AsksOnceAndThenAnswersFromTheCacheOfThatLeaseOnly) {
  query(kAnn, "Example.ORG");
  ASSERT_EQ(out.asks.size(), 1u);
  answer_last();
  ASSERT_EQ(out.replies.size(), 1u);
  EXPECT_EQ(out.done.size(), 1u);
  EXPECT_EQ(last_reply().id, 1);
  EXPECT_EQ(last_reply().question->name, *DnsName::parse("Example.ORG"));
  EXPECT_EQ(last_reply().section(DnsSection::answer)[0].name, *DnsName::parse("Example.ORG"));
  now += 10s;
  query(kAnn, "example.org");
  EXPECT_EQ(out.asks.size(), 1u);
  ASSERT_EQ(out.replies.size(), 2u);
  EXPECT_EQ(last_reply().section(DnsSection::answer)[0].ttl, 50u);
  query(kBob, "example.org");
  EXPECT_EQ(out.asks.size(), 2u);
  now += 51s;
  query(kAnn, "example.org");
  EXPECT_EQ(out.asks.size(), 3u);
}

TEST_F(Resolver, SharesAQueryWithinALeaseUpToALimit) {
  for (int i = 0; i < 4; i++) query(kAnn, "example.org");
  EXPECT_EQ(out.asks.size(), 1u);
  ASSERT_EQ(out.replies.size(), 1u);  // the fourth finds the flight full
  EXPECT_EQ(last_reply().code, DnsCode::server_failure);
  answer_last();
  EXPECT_EQ(out.replies.size(), 4u);
}

TEST_F(Resolver, FiltersPrivateAddressesWheneverTheyCome) {
  query(kAnn, "rebind.org");
  answer_last({1, 2, 3, 4}, 0);
  EXPECT_EQ(last_reply().section(DnsSection::answer).size(), 1u);
  query(kAnn, "rebind.org");  // TTL 0 is not kept
  ASSERT_EQ(out.asks.size(), 2u);
  answer_last({10, 0, 0, 1}, 0);
  EXPECT_TRUE(last_reply().section(DnsSection::answer).empty());
  EXPECT_EQ(last_reply().code, DnsCode::no_error);
  EXPECT_EQ(resolver.counters().private_records, 1u);
}

TEST_F(Resolver, IgnoresAnAnswerToAnotherQuestionOrId) {
  query(kAnn, "example.org");
  const DnsEffects::Ask ask = out.asks.back();
  DnsMessage m = answer_to(ask);
  add_a(m, {6, 6, 6, 6});
  m.id++;
  answer(ask, m);
  m.id--;
  m.question->type = kDnsTxt;
  answer(ask, m);
  m.question = DnsQuestion{*DnsName::parse("evil.org"), kDnsA};
  answer(ask, m);
  EXPECT_TRUE(out.replies.empty());
  EXPECT_EQ(resolver.counters().mismatched, 3u);
  answer_last();
  EXPECT_EQ(out.replies.size(), 1u);
}

TEST_F(Resolver, ConfirmsAnAnswerInTheWrongLetterCaseOverTcp) {
  query(kAnn, "a-long-enough-name-to-have-some-capitals.example.org");
  DnsMessage m = answer_to(out.asks.back());
  ASSERT_NE(m.question->name, m.question->name.lowered());
  m.question->name = m.question->name.lowered();
  add_a(m, {1, 2, 3, 4});
  answer(DnsEffects::Ask(out.asks.back()), m);
  EXPECT_TRUE(out.replies.empty());
  ASSERT_EQ(out.asks.size(), 2u);
  EXPECT_EQ(out.asks[1].transport, DnsTransport::tcp);
  EXPECT_EQ(out.asks[1].upstream, out.asks[0].upstream);
}

TEST_F(Resolver, AsksAgainOverTcpWhatWasTruncated) {
  query(kAnn, "example.org", kDnsTxt, 4096);
  DnsMessage m = answer_to(out.asks.back());
  m.truncated = true;
  answer(DnsEffects::Ask(out.asks.back()), m);
  ASSERT_EQ(out.asks.size(), 2u);
  EXPECT_EQ(out.asks[1].transport, DnsTransport::tcp);
  m = answer_to(out.asks.back());
  for (int i = 0; i < 40; i++)
    m.section(DnsSection::answer)
        .push_back({m.question->name, kDnsTxt, kDnsClassIn, 60, std::vector<uint8_t>(90, 'x')});
  answer(DnsEffects::Ask(out.asks.back()), m);
  ASSERT_EQ(out.replies.size(), 1u);
  EXPECT_TRUE(last_reply().truncated);  // too much for this client's UDP ...
  EXPECT_LE(out.replies[0].message.size(), kDnsSafeUdp);
  query(kAnn, "example.org", kDnsTxt, 0, DnsTransport::tcp);
  EXPECT_EQ(last_reply().section(DnsSection::answer).size(), 40u);  // ... but not over TCP
}

TEST_F(Resolver, TriesTheUpstreamsInTurnAndThenFails) {
  query(kAnn, "example.org");
  EXPECT_EQ(resolver.next_deadline(), now + 1500ms);
  now += 1500ms;
  resolver.on_deadline(now, out);
  ASSERT_EQ(out.asks.size(), 2u);
  EXPECT_NE(out.asks[1].upstream, out.asks[0].upstream);
  resolver.on_failure(now, out.asks[1].id, out);
  ASSERT_EQ(out.asks.size(), 3u);
  EXPECT_FALSE(parse_dns(out.asks[2].message)->edns_udp_size);
  DnsMessage m = answer_to(out.asks[2]);
  m.code = DnsCode::server_failure;
  answer(DnsEffects::Ask(out.asks[2]), m);
  ASSERT_EQ(out.asks.size(), 4u);
  now += 1500ms;
  resolver.on_deadline(now, out);
  EXPECT_EQ(out.asks.size(), 4u);
  ASSERT_EQ(out.replies.size(), 1u);
  EXPECT_EQ(last_reply().code, DnsCode::server_failure);
  EXPECT_EQ(resolver.next_deadline(), kNever);
  query(kAnn, "example.org");  // a failure is kept for a moment
  EXPECT_EQ(out.asks.size(), 4u);
}

TEST_F(Resolver, StaysWithTheUpstreamThatAnswered) {
  query(kAnn, "example.org");
  resolver.on_failure(now, out.asks[0].id, out);
  answer_last();
  query(kAnn, "two.example.org");
  EXPECT_EQ(out.asks.back().upstream, out.asks[1].upstream);
}

TEST_F(Resolver, KeepsNegativeAnswersOnlyWithTheirSoa) {
  const auto negative = [&](bool with_soa) {
    DnsMessage m = answer_to(out.asks.back());
    m.code = DnsCode::name_error;
    std::vector<uint8_t> soa(2 + 20);
    store_be32(&soa[18], 30);
    if (with_soa)
      m.section(DnsSection::authority).push_back({*DnsName::parse("org"), kDnsSoa, kDnsClassIn, 900, soa});
    answer(DnsEffects::Ask(out.asks.back()), m);
  };
  query(kAnn, "no.org");
  negative(false);
  query(kAnn, "no.org");
  ASSERT_EQ(out.asks.size(), 2u);
  negative(true);
  query(kAnn, "no.org");
  EXPECT_EQ(out.asks.size(), 2u);
  EXPECT_EQ(last_reply().code, DnsCode::name_error);
  EXPECT_EQ(last_reply().section(DnsSection::authority)[0].ttl, 30u);
  now += 31s;
  query(kAnn, "no.org");
  EXPECT_EQ(out.asks.size(), 3u);
}

TEST_F(Resolver, AnswersWhatItDoesNotForward) {
  query(kAnn, "example.org", kDnsAny);
  EXPECT_EQ(last_reply().code, DnsCode::refused);
  query(kAnn, "printer.local");
  EXPECT_EQ(last_reply().code, DnsCode::name_error);
  EXPECT_TRUE(out.asks.empty());
  const size_t before = out.replies.size();
  resolver.on_query(now, kAnn, DnsTicket{9}, DnsTransport::udp,
                    as_bytes(std::string_view("\x01\x02\x01\x00garbage garbage", 19)), out);
  ASSERT_EQ(out.replies.size(), before + 1);
  EXPECT_EQ(last_reply().code, DnsCode::form_error);
  EXPECT_EQ(last_reply().id, 0x0102);
  DnsMessage response;
  response.is_response = true;
  resolver.on_query(now, kAnn, DnsTicket{10}, DnsTransport::udp, encode_dns(response, 512), out);
  resolver.on_query(now, kAnn, DnsTicket{11}, DnsTransport::udp, as_bytes("short"), out);
  EXPECT_EQ(out.replies.size(), before + 1);
}

TEST_F(Resolver, HoldsItsBounds) {
  for (uint32_t lease = 1; lease <= 10; lease++)
    for (int i = 0; i < 10; i++) query(LeaseNumber{lease}, ("n" + std::to_string(i) + ".org").c_str());
  EXPECT_EQ(resolver.flights(), 20u);
  EXPECT_EQ(out.asks.size(), 20u);
  for (size_t i = 0; i < 20; i++) {
    const DnsEffects::Ask ask = out.asks[i];
    DnsMessage m = answer_to(ask);
    add_a(m, {1, 1, 1, 1});
    answer(ask, m);
  }
  for (int i = 0; i < 30; i++) {
    query(kAnn, ("m" + std::to_string(i) + ".org").c_str());
    answer_last();
  }
  EXPECT_EQ(resolver.flights(), 0u);
  EXPECT_LE(resolver.cache().entries(), 25u);
  query(kAnn, "last.org");
  resolver.forget(kAnn, out);
  resolver.check_invariants();
  EXPECT_EQ(resolver.flights(), 0u);
}

}  // namespace
}  // namespace macrovpn::routing
