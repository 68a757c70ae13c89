// What an exchange spends on one other and on all: bytes, hashes, checks, places.
#include "core/discovery/exchange.h"
#include "core/discovery/sync_lab_test.h"

namespace macrovpn::discovery {
namespace {

class ExchangeBounds : public SyncLab {
 protected:
  Exchange copy() { return {RelaySet(network_), rng_, Answers::with_lists}; }
};

TEST_F(ExchangeBounds, ServesWithinABudget) {
  Exchange a = copy();
  a.open(now_.mono, kOne, SyncRole::client);
  a.publish(signed_by(0));
  const size_t size = a.set().all()[0]->descriptor.bytes.size();
  const auto want = encode_want(std::vector<Wanted>(kMaxItems, Wanted{relay(0).short_id, 0}));
  size_t served = 0;
  SyncOut out;
  for (int i = 0; i < 1000; i++) {
    out.messages.clear();
    a.on_message(now_, kOne, SyncKind::want, want, out);
    for (const SyncMessage& m : out.messages) served += m.body.size();
  }
  EXPECT_GT(a.counts().over_budget, 0u);
  EXPECT_LT(served, static_cast<size_t>(kServeBurst) * 101 / 100 + 2 * size);
  pass(1s);
  a.on_message(now_, kOne, SyncKind::want, want, out);
  EXPECT_FALSE(out.messages.empty());
}

TEST_F(ExchangeBounds, ComparesWithinABudget) {
  Exchange a = copy();
  a.open(now_.mono, kOne, SyncRole::client);
  for (size_t i = 0; i < 500; i++) a.publish(signed_by(i));
  Ranges all;
  for (int i = 0; i < 31; i++) all.parts.push_back({RangePart::Kind::fingerprint, kLowest, kHighest, {500, {1, 1}}, {}});
  const auto message = encode_ranges(all);
  SyncOut out;
  size_t most = 0;
  for (int i = 0; i < 200; i++) {
    out.messages.clear();
    a.on_message(now_, kOne, SyncKind::ranges, message, out);
    most = std::max(most, out.messages.size());
  }
  EXPECT_LE(most, kMaxReplyMessages);
  EXPECT_TRUE(out.messages.empty());
  EXPECT_GT(a.counts().over_budget, 0u);
}

// Anybody may ask for more lists than a reply has room for.
TEST_F(ExchangeBounds, AnswersManyQuestionsInWholeMessagesAndSaysThatThereIsMore) {
  Exchange a = copy();
  for (size_t i = 0; i < kMaxListed; i++) a.publish(signed_by(i));
  a.open(now_.mono, kOne, SyncRole::client);
  Ranges question;
  while (kRangesHeader + (question.parts.size() + 1) * encoded_size({RangePart::Kind::ask, {}, {}, {}, {}}) <= kMaxSyncMessage) {
    question.parts.push_back({RangePart::Kind::ask, kLowest, kHighest, {}, {}});
  }
  SyncOut out;
  a.on_message(now_, kOne, SyncKind::ranges, encode_ranges(question), out);
  ASSERT_EQ(out.messages.size(), kMaxReplyMessages);
  for (const SyncMessage& m : out.messages) EXPECT_TRUE(parse_ranges(m.body));
  EXPECT_EQ(parse_ranges(out.messages.back().body)->parts.back().kind, RangePart::Kind::more);
}

// One message of empty lists names nothing and would have all that we hold told once for each.
TEST_F(ExchangeBounds, ManyEmptyListsAreNotAnsweredByTheWholeSetEachTime) {
  for (const SyncRole role : {SyncRole::client, SyncRole::relay}) {
    Exchange a = copy();
    for (size_t i = 0; i < 600; i++) a.publish(signed_by(i));
    a.open(now_.mono, kOne, role, Opened::by_them);
    Ranges question;
    while (kRangesHeader + (question.parts.size() + 1) * encoded_size({RangePart::Kind::list, {}, {}, {}, {}}) <= kMaxSyncMessage) {
      question.parts.push_back({RangePart::Kind::list, kLowest, kHighest, {}, {}});
    }
    ASSERT_GE(question.parts.size(), 60u);
    SyncOut out;
    a.on_message(now_, kOne, SyncKind::ranges, encode_ranges(question), out);
    EXPECT_LE(out.messages.size(), role == SyncRole::client ? 0 : kMaxReplyMessages) << "clients only ask";
  }
}

TEST_F(ExchangeBounds, WhoCallsUsMayAnnounceLessThanWhomWeCalled) {
  Exchange a = copy();
  a.open(now_.mono, kOne, SyncRole::relay, Opened::by_them);
  SyncOut out;
  for (uint64_t i = 0; i < 3000; i += kMaxItems) {
    std::vector<Item> many;
    for (uint64_t k = i; k < i + kMaxItems; k++) many.push_back({{k + 1}, static_cast<uint32_t>(unix_seconds(now_.wall))});
    a.on_message(now_, kOne, SyncKind::have, encode_have(many), out);
  }
  EXPECT_GT(a.counts().full, 0u);
  const SyncSession other{9};
  a.open(now_.mono, other, SyncRole::relay, Opened::by_us);
  const uint64_t before = a.counts().full;
  a.on_message(now_, other, SyncKind::have, encode_have(std::vector<Item>{{{999'999}, static_cast<uint32_t>(unix_seconds(now_.wall))}}), out);
  EXPECT_EQ(a.counts().full, before);
}

TEST_F(ExchangeBounds, ChecksOfAllTogetherAreBounded) {
  Exchange a = copy();
  a.open(now_.mono, kOne, SyncRole::relay);
  SyncOut out;
  for (size_t i = 0; i < kMaxChecks + 20; i++) {
    const EntryPtr e = signed_by(i);
    std::vector<uint8_t> data;
    append_data(data, Datum::whole, e->descriptor.bytes);
    a.on_message(now_, kOne, SyncKind::have, encode_have(std::vector<Item>{{e->short_id, e->seq}}), out);
    a.on_message(now_, kOne, SyncKind::data, data, out);
  }
  EXPECT_EQ(out.checks.size(), kMaxChecks);
  EXPECT_EQ(a.counts().over_budget, 0u);
  a.check_invariants();
}

// Whatever it delivers has to be looked at, and that costs more than sending it.
TEST_F(ExchangeBounds, ChecksOfOneSessionAreBounded) {
  Exchange a = copy();
  a.open(now_.mono, kOne, SyncRole::relay, Opened::by_them);
  const EntryPtr e = signed_by(0);
  const auto have = encode_have(std::vector<Item>{{e->short_id, e->seq}});
  std::vector<uint8_t> data;
  append_data(data, Datum::whole, e->descriptor.bytes);
  const auto deliver = [&](size_t times) {
    size_t checked = 0;
    for (size_t i = 0; i < times; i++) {
      SyncOut out;
      a.on_message(now_, kOne, SyncKind::have, have, out);
      a.on_message(now_, kOne, SyncKind::data, data, out);
      checked += out.checks.size();
      for (const SyncCheck& k : std::exchange(out.checks, {})) a.on_checked(now_, k.id, Failure{CheckFailure::stale}, out);
    }
    return checked;
  };
  EXPECT_EQ(deliver(kCheckBurst + 100), static_cast<size_t>(kCheckBurst) + 1);
  EXPECT_FALSE(a.is_muted(kOne));
  pass(10s);
  EXPECT_LE(deliver(1'000), static_cast<size_t>(10 * kCheckRate) + 1);
  pass(10s);
  EXPECT_GT(deliver(1), 0u);
}

TEST_F(ExchangeBounds, TellsOfItsListsWithinABudget) {
  Exchange a = copy();
  for (size_t i = 0; i < kMaxListed; i++) a.publish(signed_by(i));
  a.open(now_.mono, kOne, SyncRole::client);
  const auto question = encode_ranges({{}, {{RangePart::Kind::ask, kLowest, kHighest, {}, {}}}});
  size_t told = 0;
  for (int i = 0; i < 20'000 && a.counts().over_budget == 0; i++) {
    SyncOut out;
    a.on_message(now_, kOne, SyncKind::ranges, question, out);
    for (const SyncMessage& m : out.messages) told += m.body.size();
  }
  EXPECT_GT(told, static_cast<size_t>(kServeBurst) / 2);
  EXPECT_LT(told, static_cast<size_t>(kServeBurst) + kMaxReplyMessages * kMaxSyncMessage);
  SyncOut out;
  a.on_message(now_, kOne, SyncKind::ranges, question, out);
  EXPECT_TRUE(out.messages.empty());
}

TEST_F(ExchangeBounds, WhatFitsIntoNoMessageIsNobodysEntry) {
  SignedDescriptor d = signed_by(0)->descriptor;
  d.bytes.resize(kMaxHandedOn);
  EXPECT_TRUE(make_entry(d, network_));
  d.bytes.push_back(0);
  EXPECT_FALSE(make_entry(d, network_));
}

TEST_F(ExchangeBounds, HoldsAThousandSessions) {
  Exchange a = copy();
  for (uint32_t i = 0; i < kMaxSyncSessions + 5; i++) a.open(now_.mono, {i}, SyncRole::client);
  EXPECT_FALSE(a.is_open({kMaxSyncSessions}));
  EXPECT_EQ(a.counts().full, 5u);
  a.close({3});
  a.open(now_.mono, {kMaxSyncSessions}, SyncRole::client);
  EXPECT_TRUE(a.is_open({kMaxSyncSessions}));
  a.check_invariants();
}

}  // namespace
}  // namespace macrovpn::discovery
