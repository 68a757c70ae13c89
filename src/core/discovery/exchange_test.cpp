#include "core/discovery/exchange.h"

#include "core/discovery/sync_lab_test.h"

namespace macrovpn::discovery {
namespace {

class ExchangeTest : public SyncLab {
 protected:
  void meet(Exchange& a, Exchange& b, SyncRole a_is = SyncRole::relay) {
    a.open(now_.mono, kOne, SyncRole::relay);
    b.open(now_.mono, kOne, a_is);
    SyncOut out_a, out_b;
    a.begin_round(now_, kOne, out_a);
    talk(a, out_a, b, out_b);
    a.check_invariants();
    b.check_invariants();
  }
  static std::vector<Item> items(const RelaySet& s) {
    std::vector<Item> out;
    for (const EntryPtr& e : s.all()) out.push_back({e->short_id, e->seq});
    return out;
  }
  Exchange copy() { return {RelaySet(network_), rng_, Answers::with_lists}; }
};

TEST_F(ExchangeTest, TwoRelaysThatMeetHaveBothTheUnion) {
  Exchange a = copy(), b = copy();
  for (size_t i = 0; i < 700; i++) {
    const EntryPtr e = signed_by(i);
    if (i % 10 != 0) a.publish(e);
    if (i % 7 != 0) b.publish(i % 11 == 0 ? renewed(e, i, now_.wall) : e);
  }
  meet(a, b);
  EXPECT_EQ(a.set().size(), 690u) << "all but each seventieth";
  EXPECT_EQ(items(a.set()), items(b.set()));
  EXPECT_EQ(a.counts().unsolicited + b.counts().unsolicited + a.counts().forged + b.counts().forged, 0u);
}

TEST_F(ExchangeTest, EqualCopiesSayOneMessageEach) {
  Exchange a = copy(), b = copy();
  for (size_t i = 0; i < 100; i++) a.publish(signed_by(i)), b.publish(a.set().find(relay(i).short_id));
  meet(a, b);
  EXPECT_EQ(count_[SyncKind::ranges], 2u);
  SyncOut out;
  a.on_deadline(now_, out);
  ASSERT_EQ(a.rounds().size(), 1u);
  EXPECT_TRUE(a.rounds()[0].equal);
}

TEST_F(ExchangeTest, NewsThatAreRenewalsTravelAsRenewals) {
  Exchange a = copy(), b = copy();
  const EntryPtr e = signed_by(0);
  a.publish(e);
  b.publish(e);
  b.publish(renewed(e, 0, now_.wall));
  meet(a, b);
  EXPECT_EQ(a.set().find(e->short_id)->descriptor.bytes, b.set().find(e->short_id)->descriptor.bytes);
  EXPECT_EQ(bytes_[SyncKind::data], kDataHeader + kRenewalSize);
}

TEST_F(ExchangeTest, ARenewalOfABodyThatIsNotOursIsFollowedByTheBody) {
  Exchange a = copy(), b = copy();
  // As an equivocator would: another body in the second of ours, and a renewal of that.
  const EntryPtr mine = signed_by(0);
  relay(0).info.as_number = 7;
  const EntryPtr theirs = renewed(signed_by(0), 0, now_.wall);
  a.publish(mine);
  b.publish(theirs);
  meet(a, b);
  EXPECT_TRUE(a.set().find(mine->short_id)->convicted());
  EXPECT_EQ(a.counts().muted, 0u) << "who brought it is innocent";
  meet(a, b);
}

TEST_F(ExchangeTest, TwoFacesOfOneSecondAreFoundByComparing) {
  Exchange a = copy(), b = copy(), c = copy();
  a.publish(signed_by(0));
  relay(0).info.as_number = 7;
  b.publish(signed_by(0));
  meet(a, b);
  const ShortId id = relay(0).short_id;
  EXPECT_TRUE(a.set().find(id)->convicted());
  a.close(kOne);
  b.close(kOne);
  meet(b, a);
  EXPECT_TRUE(b.set().find(id)->convicted());
  a.close(kOne);
  meet(c, a);
  ASSERT_TRUE(c.set().find(id)) << "convictions are handed on";
  EXPECT_TRUE(c.set().find(id)->convicted());
}

TEST_F(ExchangeTest, TakesOnlyWhatItAskedFor) {
  Exchange a = copy();
  a.open(now_.mono, kOne, SyncRole::relay);
  std::vector<uint8_t> data;
  append_data(data, Datum::whole, signed_by(0)->descriptor.bytes);
  SyncOut out;
  a.on_message(now_, kOne, SyncKind::data, data, out);
  EXPECT_TRUE(out.checks.empty());
  EXPECT_EQ(a.counts().unsolicited, 1u);
}

TEST_F(ExchangeTest, MutesWhoHandsOnAForgery) {
  Exchange a = copy();
  a.open(now_.mono, kOne, SyncRole::relay);
  a.open(now_.mono, {2}, SyncRole::relay);
  const EntryPtr e = signed_by(0);
  const auto have = encode_have(std::vector<Item>{{e->short_id, e->seq}});
  SyncOut out;
  a.on_message(now_, kOne, SyncKind::have, have, out);
  a.on_message(now_, {2}, SyncKind::have, have, out);
  ASSERT_EQ(out.messages.size(), 1u) << "one is asked, not both";
  auto forged = e->descriptor.bytes;
  forged[forged.size() - 1] ^= 1;
  std::vector<uint8_t> data;
  append_data(data, Datum::whole, forged);
  a.on_message(now_, kOne, SyncKind::data, data, out);
  ASSERT_EQ(out.checks.size(), 1u);
  const auto result = run_check(out.checks[0], network_, CheckDepth::signatures, now_.wall);
  ASSERT_FALSE(result.ok());
  out.messages.clear();
  a.on_checked(now_, out.checks[0].id, result, out);
  EXPECT_TRUE(a.is_muted(kOne));
  ASSERT_EQ(out.messages.size(), 1u) << "the other source is asked instead";
  EXPECT_EQ(out.messages[0].to, SyncSession{2});
  a.check_invariants();
}

TEST_F(ExchangeTest, AsksTheNextSourceWhenOneIsSilentAndMutesWhoNeverDelivers) {
  Exchange a = copy();
  a.open(now_.mono, kOne, SyncRole::relay);
  for (uint32_t round = 0; round < 40 && !a.is_muted(kOne); round++) {
    std::vector<Item> lies;
    for (uint64_t i = 0; i < kMaxItems; i++) lies.push_back({{round * 1000 + i}, 1'800'000'000});
    SyncOut out;
    a.on_message(now_, kOne, SyncKind::have, encode_have(lies), out);
    pass(kAnswerTime);
    a.on_deadline(now_, out);
    a.check_invariants();
  }
  EXPECT_TRUE(a.is_muted(kOne));
  EXPECT_EQ(a.next_deadline(), kNever) << "nothing is left of it";
}

TEST_F(ExchangeTest, AsksForNothingOfTheFutureAndAgainWhenItsTimeHasCome) {
  Exchange a = copy();
  a.open(now_.mono, kOne, SyncRole::relay);
  const auto have = encode_have(std::vector<Item>{{{5}, static_cast<uint32_t>(unix_seconds(now_.wall) + 601)}});
  SyncOut out;
  a.on_message(now_, kOne, SyncKind::have, have, out);
  EXPECT_TRUE(out.messages.empty());
  pass(1s);
  a.on_message(now_, kOne, SyncKind::have, have, out);
  EXPECT_EQ(out.messages.size(), 1u);
}

TEST_F(ExchangeTest, ClientsGetAllAndGiveNothing) {
  Exchange server = copy();
  Exchange client(RelaySet(network_), rng_, Answers::by_asking);
  for (size_t i = 0; i < 300; i++) server.publish(signed_by(i));
  client.publish(signed_by(301));
  meet(client, server, SyncRole::client);
  EXPECT_EQ(client.set().size(), 301u);
  EXPECT_EQ(server.set().size(), 300u);
  pass(kAnswerTime);
  SyncOut out;
  client.on_deadline(now_, out);
  ASSERT_EQ(client.rounds().size(), 1u);
  EXPECT_EQ(client.rounds()[0].learned, 300u);
  // What the server lacks shows in the next round, when few enough are compared.
  client.begin_round(now_, kOne, out);
  SyncOut out_server;
  talk(client, out, server, out_server);
  pass(kAnswerTime);
  client.on_deadline(now_, out);
  ASSERT_EQ(client.rounds().size(), 2u);
  EXPECT_EQ(client.rounds()[1].lacking, std::vector<ShortId>{relay(301).short_id});
  SyncOut answers;
  client.on_message(now_, kOne, SyncKind::want, encode_want(std::vector<Wanted>{{relay(1).short_id, 0}}), answers);
  client.on_message(now_, kOne, SyncKind::ranges, encode_ranges({{}, {{RangePart::Kind::ask, kLowest, kHighest, {}, {}}}}), answers);
  EXPECT_TRUE(answers.messages.empty());
  server.on_message(now_, kOne, SyncKind::have, encode_have(std::vector<Item>{{{5}, 1'800'000'000}}), answers);
  EXPECT_TRUE(answers.messages.empty()) << "relays take nothing from clients";
}

// What a source lacks is found in the middle of comparing with it, list by list of one message.
TEST_F(ExchangeTest, AComparisonGoesByWhatWasKnownWhenItBegan) {
  RelaySet set(network_);
  SetChanges changes;
  for (size_t i = 0; i < 40; i++) set.insert(signed_by(i), changes);
  std::vector<ShortId> lacking{relay(3).short_id};
  const View view(set, {}, now_.wall, lacking);
  for (size_t i = 0; i < 40; i++) lacking.push_back(relay(i).short_id);
  lacking.front() = {};
  lacking.shrink_to_fit();
  for (size_t i = 0; i < 40; i++) EXPECT_EQ(view.counts(*set.find(relay(i).short_id)), i != 3) << i;
}

TEST_F(ExchangeTest, ItemsNearTheirEndAreInNoComparison) {
  Exchange a = copy(), b = copy();
  a.publish(signed_by(0, now_.wall - kDescriptorLife + kLeftOutBeforeExpiry - 1s));
  meet(a, b);
  EXPECT_EQ(count_[SyncKind::ranges], 2u);
  EXPECT_EQ(b.set().size(), 0u);
  a.publish(signed_by(1, now_.wall - kDescriptorLife + kLeftOutBeforeExpiry + 1s));
  SyncOut out_a, out_b;
  b.begin_round(now_, kOne, out_b);
  talk(a, out_a, b, out_b);
  EXPECT_EQ(b.set().size(), 1u);
}

// An old descriptor of a relay, announced as if it were new, must not keep us from its real renewals.
TEST_F(ExchangeTest, AnOldDescriptorAnnouncedAsNewSilencesNobody) {
  Exchange a = copy();
  const SyncSession liar{7}, honest{8};
  a.open(now_.mono, liar, SyncRole::relay, Opened::by_them);
  a.open(now_.mono, honest, SyncRole::relay, Opened::by_them);
  const EntryPtr expired = signed_by(0, now_.wall - kDescriptorLife - 1h);
  const EntryPtr fresh = signed_by(0, now_.wall - 1min);
  for (const uint32_t said : {kConvicted, static_cast<uint32_t>(unix_seconds(now_.wall + 9min))}) {
    SyncOut out;
    a.on_message(now_, liar, SyncKind::have, encode_have(std::vector<Item>{{expired->short_id, said}}), out);
    std::vector<uint8_t> data;
    append_data(data, Datum::whole, expired->descriptor.bytes);
    a.on_message(now_, liar, SyncKind::data, data, out);
    for (const SyncCheck& k : std::exchange(out.checks, {})) a.on_checked(now_, k.id, run_check(k, network_, CheckDepth::signatures, now_.wall), out);
  }
  SyncOut out;
  a.on_message(now_, honest, SyncKind::have, encode_have(std::vector<Item>{{fresh->short_id, fresh->seq}}), out);
  for (int i = 0; i < 20 && !a.set().find(fresh->short_id); i++) {
    for (const SyncMessage& m : std::exchange(out.messages, {})) {
      if (m.to != honest || m.kind != SyncKind::want) continue;
      std::vector<uint8_t> data;
      append_data(data, Datum::whole, fresh->descriptor.bytes);
      a.on_message(now_, honest, SyncKind::data, data, out);
    }
    for (const SyncCheck& k : std::exchange(out.checks, {})) a.on_checked(now_, k.id, run_check(k, network_, CheckDepth::signatures, now_.wall), out);
    pass(kAnswerTime);
    a.on_deadline(now_, out);
  }
  EXPECT_TRUE(a.set().find(fresh->short_id));
}

TEST_F(ExchangeTest, WhatIsKnownAlreadyIsNotCheckedAgain) {
  Exchange a = copy();
  const EntryPtr e = signed_by(0);
  a.publish(e);
  a.open(now_.mono, kOne, SyncRole::relay, Opened::by_them);
  SyncOut out;
  a.on_message(now_, kOne, SyncKind::have, encode_have(std::vector<Item>{{e->short_id, e->seq + 5}}), out);
  std::vector<uint8_t> data;
  append_data(data, Datum::whole, e->descriptor.bytes);
  a.on_message(now_, kOne, SyncKind::data, data, out);
  EXPECT_TRUE(out.checks.empty());
}

// Whoever kept a proof could say it again for ever.
TEST_F(ExchangeTest, AProofThatHasExpiredConvictsNobodyAgain) {
  Exchange a = copy();
  const Wall then = now_.wall - kConvictionLife - 24h;
  LabRelay& r = relay(0);
  r.info.created = then - 100h;
  const EntryPtr one = signed_by(0, then);
  r.info.endpoints = {{IpAddress::v4(0x0b000001), 1}};
  const EntryPtr two = signed_by(0, then);
  ASSERT_TRUE(contradict(one->descriptor, two->descriptor));
  const EntryPtr now_one = signed_by(0);
  a.publish(now_one);
  a.open(now_.mono, kOne, SyncRole::relay);
  SyncOut out;
  a.on_message(now_, kOne, SyncKind::have, encode_have(std::vector<Item>{{one->short_id, kConvicted}}), out);
  std::vector<uint8_t> data;
  append_data(data, Datum::half, one->descriptor.bytes);
  append_data(data, Datum::half, two->descriptor.bytes);
  a.on_message(now_, kOne, SyncKind::data, data, out);
  for (const SyncCheck& k : std::exchange(out.checks, {})) a.on_checked(now_, k.id, run_check(k, network_, CheckDepth::signatures, now_.wall), out);
  EXPECT_EQ(a.set().find(one->short_id), now_one);
}

TEST(Pack, KeepsEveryPartOrSaysMoreOverIt) {
  SeededRng rng(5);
  for (int round = 0; round < 500; round++) {
    std::vector<RangePart> parts;
    uint64_t low = 0;
    for (uint64_t n = rng.below(60); n-- > 0;) {
      const auto kind = static_cast<RangePart::Kind>(rng.below(3));
      const uint64_t high = low + 1000;
      RangePart part{kind, {low}, {high}, {}, {}};
      const uint64_t listed = rng.below(2) == 0 ? kMaxListed : rng.below(kMaxListed + 1);
      for (uint64_t i = 0; kind == RangePart::Kind::list && i < listed; i++) part.list.push_back({{low + i}, 1, 1});
      parts.push_back(std::move(part));
      low = high + 1;
    }
    const auto messages = pack({}, parts);
    ASSERT_LE(messages.size(), kMaxReplyMessages);
    size_t at = 0;
    bool more = false;
    for (const auto& m : messages) {
      ASSERT_LE(m.size(), kMaxSyncMessage);
      const auto parsed = parse_ranges(m);
      for (const RangePart& p : parsed->parts) {
        ASSERT_FALSE(more) << "nothing comes after it";
        more = p.kind == RangePart::Kind::more;
        if (!more) {
          ASSERT_EQ(p, parts[at++]);
          continue;
        }
        ASSERT_EQ(p.low, parts[at].low);
        ASSERT_EQ(p.high, parts.back().high);
      }
    }
    EXPECT_TRUE(more || at == parts.size());
  }
}

TEST_F(ExchangeTest, AsksForNothingThatItHas) {
  Exchange a = copy();
  const EntryPtr e = signed_by(0);
  a.publish(e);
  a.open(now_.mono, kOne, SyncRole::relay);
  const auto asks_for = [&](uint32_t seq) {
    SyncOut out;
    a.on_message(now_, kOne, SyncKind::have, encode_have(std::vector<Item>{{e->short_id, seq}}), out);
    return out.messages.size();
  };
  EXPECT_EQ(asks_for(e->seq), 0u);
  EXPECT_EQ(asks_for(e->seq - 1), 0u);
  EXPECT_EQ(asks_for(e->seq + 1), 1u);
}

struct Closed final : Gatekeeper {
  bool may_enter(const Now&, const EntryPtr&, SyncSession) override { return false; }
};

TEST_F(ExchangeTest, WhatWasRefusedIsNotAskedForAgainForTenMinutes) {
  Exchange a = copy();
  Closed gate;
  a.set_gate(&gate);
  a.open(now_.mono, kOne, SyncRole::relay);
  const EntryPtr e = signed_by(0);
  const auto have = encode_have(std::vector<Item>{{e->short_id, e->seq}});
  std::vector<uint8_t> data;
  append_data(data, Datum::whole, e->descriptor.bytes);
  const auto is_asked_for = [&] {
    SyncOut out;
    a.on_message(now_, kOne, SyncKind::have, have, out);
    if (out.messages.empty()) return false;
    a.on_message(now_, kOne, SyncKind::data, data, out);
    for (const SyncCheck& k : std::exchange(out.checks, {})) a.on_checked(now_, k.id, run_check(k, network_, CheckDepth::signatures, now_.wall), out);
    return true;
  };
  EXPECT_TRUE(is_asked_for());
  EXPECT_EQ(a.set().size(), 0u);
  EXPECT_FALSE(is_asked_for());
  pass(kRefusedFor - 1s);
  EXPECT_FALSE(is_asked_for());
  pass(2s);
  EXPECT_TRUE(is_asked_for());
}

TEST_F(ExchangeTest, OnlyWhatIsOfItsTimeComesThroughACheckAndHalvesWhateverTheirAge) {
  const Wall now = now_.wall;
  const EntryPtr good = signed_by(0), old = signed_by(1, now - kDescriptorLife - 1s), early = signed_by(2, now + kClockTolerance + 1s);
  const auto failure = [&](const EntryPtr& e, Datum kind) -> std::optional<CheckFailure> {
    const auto r = run_check({.kind = kind, .bytes = {e->descriptor.bytes.begin(), e->descriptor.bytes.end()}}, network_, CheckDepth::signatures, now);
    return r.ok() ? std::nullopt : std::optional(r.error());
  };
  EXPECT_EQ(failure(good, Datum::whole), std::nullopt);
  EXPECT_EQ(failure(old, Datum::whole), CheckFailure::stale);
  EXPECT_EQ(failure(early, Datum::whole), CheckFailure::stale);
  EXPECT_EQ(failure(old, Datum::half), std::nullopt) << "a proof is one for longer";
  EXPECT_EQ(failure(early, Datum::half), CheckFailure::stale);
}

TEST_F(ExchangeTest, ForgetsTheWantsOfASessionThatCloses) {
  Exchange a = copy();
  a.open(now_.mono, kOne, SyncRole::relay);
  SyncOut out;
  a.on_message(now_, kOne, SyncKind::have, encode_have(std::vector<Item>{{{5}, 1'800'000'000}}), out);
  EXPECT_NE(a.next_deadline(), kNever);
  a.close(kOne);
  a.check_invariants();
  pass(kAnswerTime);
  a.on_deadline(now_, out);
  EXPECT_EQ(a.next_deadline(), kNever);
}

}  // namespace
}  // namespace macrovpn::discovery
