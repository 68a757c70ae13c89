#include "core/discovery/client_copy.h"

#include "core/discovery/sync_lab_test.h"
#include "core/discovery/work.h"

namespace macrovpn::discovery {
namespace {

class ClientCopyTest : public SyncLab {
 protected:
  ClientCopyTest() { empty_sources(); }
  void empty_sources() {
    sources_.clear();
    for (uint32_t i = 0; i < kSyncSources; i++) sources_.emplace_back(RelaySet(network_), rng_, Answers::with_lists);
  }
  void publish(size_t source, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) sources_[source].publish(entry(i));
  }
  EntryPtr entry(size_t i) {
    EntryPtr& e = entries_[i];
    if (!e) e = signed_by(i);
    return e;
  }
  // All three answer.
  SyncVerdict sync(ClientCopy& c, size_t silent = 99) {
    std::vector<SyncSession> sessions;
    for (uint32_t i = 0; i < kSyncSources; i++) {
      sessions.push_back({i});
      sources_[i].close({i});
      sources_[i].open(now_.mono, {i}, SyncRole::client);
    }
    SyncOut out;
    c.sync(now_, sessions, out);
    for (int i = 0; i < 10'000 && c.is_syncing(); i++) {
      const size_t moved = exchange_messages(c, out, silent);
      if (moved > 0) continue;
      pass(100ms);
      c.on_deadline(now_, out);
    }
    EXPECT_FALSE(c.is_syncing());
    EXPECT_EQ(out.hang_ups.size(), kSyncSources);
    return c.take_verdict().value_or(SyncVerdict{});
  }
  size_t exchange_messages(ClientCopy& c, SyncOut& out, size_t silent) {
    for (const SyncCheck& k : std::exchange(out.checks, {})) {
      c.on_checked(now_, k.id, run_check(k, network_, CheckDepth::signatures, now_.wall), out);
    }
    const auto messages = std::exchange(out.messages, {});
    for (const SyncMessage& m : messages) {
      if (m.to.value == silent) continue;
      SyncOut answer;
      if (m.to.value == cut_off_after_one_ && heard_of_it_++ > 0 && heard_of_it_ % 2 == 0) continue;
      sources_[m.to.value].on_message(now_, m.to, m.kind, m.body, answer);
      for (const SyncMessage& a : answer.messages) c.on_message(now_, a.to, a.kind, a.body, out);
    }
    return messages.size() + out.checks.size();
  }
  size_t choosable(const ClientCopy& c) {
    size_t n = 0;
    for (const EntryPtr& e : c.set().all()) n += c.may_choose(e->short_id);
    return n;
  }
  size_t cut_off_after_one_ = 99, heard_of_it_ = 0;  // every second message to it is lost: what follows its first answer
  std::deque<Exchange> sources_;
  std::map<size_t, EntryPtr> entries_;
};

using Kind = SyncVerdict::Kind;

TEST_F(ClientCopyTest, TakesWhatAllSourcesHave) {
  for (size_t s = 0; s < 3; s++) publish(s, 0, 200);
  ClientCopy c(network_, rng_);
  const SyncVerdict v = sync(c);
  EXPECT_EQ(v.kind, Kind::accepted) << v.text();
  EXPECT_EQ(v.answered, 3u);
  EXPECT_EQ(choosable(c), 200u);
  EXPECT_TRUE(v.struck.empty());
  EXPECT_FALSE(v.sources_differ);
}

TEST_F(ClientCopyTest, ChoosesOnlyWhatTwoOfThreeHave) {
  publish(0, 0, 103);   // 3 that nobody else knows
  publish(1, 0, 100);
  publish(2, 5, 100);
  ClientCopy c(network_, rng_);
  const SyncVerdict v = sync(c);
  EXPECT_EQ(v.kind, Kind::accepted) << v.text();
  EXPECT_EQ(choosable(c), 100u);
  EXPECT_FALSE(c.may_choose(relay(101).short_id));
  EXPECT_TRUE(c.may_choose(relay(2).short_id));
}

TEST_F(ClientCopyTest, StrikesTheSourceThatLacksWhatTheOthersHave) {
  for (size_t s = 0; s < 3; s++) publish(s, s == 1 ? 1 : 0, 50);
  ClientCopy c(network_, rng_);
  EXPECT_EQ(sync(c).struck, std::vector<SyncSession>{{1}});
}

TEST_F(ClientCopyTest, StrikesNobodyForWhatIsTenMinutesYoung) {
  entries_[0] = signed_by(0, now_.wall - 5min);
  for (size_t s = 0; s < 3; s++) publish(s, s == 1 ? 1 : 0, 50);
  ClientCopy c(network_, rng_);
  EXPECT_TRUE(sync(c).struck.empty());
}

TEST_F(ClientCopyTest, ANewcomerAmongTwoEvilSourcesOfThreeRefuses) {
  publish(0, 300, 400);  // relays of their own
  publish(1, 300, 400);
  publish(2, 0, 200);
  ClientCopy c(network_, rng_);
  const SyncVerdict v = sync(c);
  EXPECT_EQ(v.kind, Kind::sources_disagree);
  EXPECT_EQ(choosable(c), 0u);
  EXPECT_NE(v.text().find("invite"), std::string::npos);
}

TEST_F(ClientCopyTest, TwoEvilSourcesThatHideRelaysCannotShrinkAnOldCopy) {
  for (size_t s = 0; s < 3; s++) publish(s, 0, 100);
  ClientCopy c(network_, rng_);
  ASSERT_EQ(sync(c).kind, Kind::accepted);
  empty_sources();
  for (size_t s = 0; s < 3; s++) publish(s, 0, s < 2 ? 60 : 100);
  pass(kMustBeKnownAfter);
  const SyncVerdict v = sync(c);
  EXPECT_EQ(v.kind, Kind::shrunk) << v.text();
  EXPECT_EQ(v.before, 100u);
  EXPECT_EQ(v.found, 60u);
  EXPECT_EQ(choosable(c), 100u) << "the old copy is used on";
  c.accept_anyway();
  EXPECT_EQ(choosable(c), 60u);
}

TEST_F(ClientCopyTest, TwoEvilSourcesCannotExchangeAnOldCopyForAsManyOfTheirOwn) {
  for (size_t s = 0; s < 3; s++) publish(s, 0, 100);
  ClientCopy c(network_, rng_);
  ASSERT_EQ(sync(c).kind, Kind::accepted);
  empty_sources();
  publish(0, 200, 320);
  publish(1, 200, 320);
  publish(2, 0, 100);
  const SyncVerdict v = sync(c);
  EXPECT_EQ(v.kind, Kind::shrunk) << v.text();
  EXPECT_EQ(v.lost, 100u);
  EXPECT_NE(v.text().find("in their place"), std::string::npos);
  for (size_t i = 0; i < 320; i++) EXPECT_EQ(c.may_choose(entry(i)->short_id), i < 100);
}

TEST_F(ClientCopyTest, WhatTwoOfThreeAddIsNotTakenWhereTheyDiffer) {
  for (size_t s = 0; s < 3; s++) publish(s, 0, 100);
  ClientCopy c(network_, rng_);
  ASSERT_EQ(sync(c).kind, Kind::accepted);
  publish(0, 200, 260);
  publish(1, 200, 260);
  for (size_t s = 0; s < 3; s++) publish(s, 100, 105);
  const SyncVerdict v = sync(c);
  EXPECT_EQ(v.kind, Kind::accepted) << v.text();
  EXPECT_TRUE(v.sources_differ);
  EXPECT_EQ(choosable(c), 105u);
  EXPECT_FALSE(c.may_choose(entry(200)->short_id));
}

TEST_F(ClientCopyTest, WhoWasAwayUntilAllExpiredIsANewcomerAgain) {
  for (size_t s = 0; s < 3; s++) publish(s, 0, 100);
  ClientCopy c(network_, rng_);
  ASSERT_EQ(sync(c).kind, Kind::accepted);
  pass(std::chrono::hours(48));
  empty_sources();
  entries_.clear();
  publish(0, 200, 320);
  publish(1, 200, 320);
  publish(2, 0, 100);
  EXPECT_EQ(sync(c).kind, Kind::sources_disagree);
  EXPECT_EQ(choosable(c), 0u);
}

// A source whose answers are lost on the way has not said that it has what others have.
TEST_F(ClientCopyTest, ASourceThatWasNotHeardToTheEndAgreesWithNobody) {
  publish(0, 300, 400);
  publish(1, 0, 100);
  publish(2, 300, 400);
  ClientCopy c(network_, rng_);
  cut_off_after_one_ = 1;
  sync(c);
  for (size_t i = 0; i < 100; i++) EXPECT_FALSE(c.may_choose(entry(i)->short_id)) << "one source alone has said that it knows it";
}

TEST_F(ClientCopyTest, AClockThatRefusesSomeItemsHearsItsSourcesToTheEnd) {
  for (size_t s = 0; s < 3; s++) publish(s, 0, 100);
  for (size_t i = 100; i < 103; i++) entries_[i] = signed_by(i, now_.wall + std::chrono::minutes(15));
  for (size_t s = 0; s < 3; s++) publish(s, 100, 103);
  ClientCopy c(network_, rng_);
  const SyncVerdict v = sync(c);
  EXPECT_EQ(v.kind, Kind::accepted) << v.text();
  EXPECT_EQ(v.answered, 3u);
  EXPECT_EQ(choosable(c), 100u);
}

TEST_F(ClientCopyTest, ASmallNetworkMayLoseHalfOfItself) {
  for (size_t s = 0; s < 3; s++) publish(s, 0, 10);
  ClientCopy c(network_, rng_);
  ASSERT_EQ(sync(c).kind, Kind::accepted);
  empty_sources();
  for (size_t s = 0; s < 3; s++) publish(s, 0, 3);
  EXPECT_EQ(sync(c).kind, Kind::accepted);
  EXPECT_EQ(choosable(c), 3u);
}

TEST_F(ClientCopyTest, RefusesALargeNetworkOfFewPrefixes) {
  // 72 relays are 18 /16 of 4 each here; with a coarser rule that is one prefix.
  network_.diversity_v4 = 8;
  empty_sources();
  for (size_t s = 0; s < 3; s++) publish(s, 0, 72);
  ClientCopy c(network_, rng_);
  const SyncVerdict v = sync(c);
  EXPECT_EQ(v.kind, Kind::too_few_networks) << v.text();
  EXPECT_EQ(v.prefixes, 1u);
  EXPECT_EQ(choosable(c), 0u);
  ClientCopy small(network_, rng_);
  empty_sources();
  for (size_t s = 0; s < 3; s++) publish(s, 0, 20);
  EXPECT_EQ(sync(small).kind, Kind::accepted) << "a private one may live in one rack";
}

TEST_F(ClientCopyTest, GoesOnWithoutASilentSource) {
  for (size_t s = 0; s < 3; s++) publish(s, 0, 60);
  ClientCopy c(network_, rng_);
  const SyncVerdict v = sync(c, 0);
  EXPECT_EQ(v.kind, Kind::accepted);
  EXPECT_EQ(v.answered, 2u);
  EXPECT_EQ(choosable(c), 60u);
}

TEST_F(ClientCopyTest, RemembersOverARestart) {
  ClientCopy c(network_, rng_);
  for (size_t i = 0; i < 40; i++) c.restore(entry(i), i < 30);
  EXPECT_EQ(choosable(c), 30u);
  for (size_t s = 0; s < 3; s++) publish(s, 0, 10);
  EXPECT_EQ(sync(c).kind, Kind::shrunk);
}

// Else it could be told apart at its next sync by what only one source ever gave it.
TEST_F(ClientCopyTest, KeepsNothingThatOneSourceAloneHad) {
  publish(0, 0, 103);
  publish(1, 0, 100);
  publish(2, 0, 100);
  ClientCopy c(network_, rng_);
  ASSERT_EQ(sync(c).kind, Kind::accepted);
  EXPECT_EQ(c.set().size(), 100u);
  EXPECT_FALSE(c.set().find(relay(101).short_id));
}

TEST_F(ClientCopyTest, WhatTheStoreIsToldIsWhatIsKept) {
  publish(0, 0, 103);
  publish(1, 0, 100);
  publish(2, 0, 100);
  ClientCopy c(network_, rng_);
  ASSERT_EQ(sync(c).kind, Kind::accepted);
  EXPECT_EQ(c.exchange().changes().come.size(), 100u);
  EXPECT_TRUE(c.exchange().changes().gone.empty());
  c.exchange().changes() = {};
  empty_sources();
  for (size_t s = 0; s < 3; s++) publish(s, 1, 101);
  ASSERT_EQ(sync(c).kind, Kind::accepted);
  EXPECT_EQ(c.exchange().changes().come.size(), 1u);
  EXPECT_EQ(c.set().size(), 101u) << "what nobody has any more stays until it expires, and is not chosen";
}

TEST_F(ClientCopyTest, ARefusedSyncChangesNothingButVersions) {
  for (size_t s = 0; s < 3; s++) publish(s, 0, 100);
  ClientCopy c(network_, rng_);
  ASSERT_EQ(sync(c).kind, Kind::accepted);
  empty_sources();
  for (size_t s = 0; s < 3; s++) publish(s, 300, 340);
  const EntryPtr newer = renewed(entry(3), 3, now_.wall - 1min);
  for (size_t s = 0; s < 3; s++) sources_[s].publish(newer);
  ASSERT_EQ(sync(c).kind, Kind::shrunk);
  EXPECT_EQ(c.set().size(), 100u);
  EXPECT_EQ(choosable(c), 100u);
  EXPECT_EQ(c.set().find(relay(3).short_id)->seq, newer->seq);
  c.accept_anyway();
  EXPECT_EQ(choosable(c), 41u);
}

// Identities are free; a low rank is a claim until somebody looks at the work.
TEST_F(ClientCopyTest, NobodyIsPushedOutByClaimedWork) {
  network_.max_per_v4_24 = 1;
  network_.pow_bits = 1;
  const auto work_of = [&](size_t n) {
    return *search_work({network_.id, relay(n).key.pub, work_epoch_of(now_.wall - 1h), network_.pow_bits}, 0, 64);
  };
  const auto signed_with = [&](size_t n, WorkProof proof) {
    LabRelay& r = relay(n);
    RelayDetails details;
    details.work = proof;
    return make_entry(*open_descriptor(sign_descriptor(r.info, network_.id, r.key, now_.wall - 1h, std::nullopt, details), network_.id), network_);
  };
  const auto honest = [&](size_t n) {
    return signed_with(n, work_of(n));
  };
  std::vector<EntryPtr> good;
  for (size_t i = 0; i < 4; i++) good.push_back(honest(i));
  for (auto& s : sources_) for (const auto& e : good) s.publish(e);
  ClientCopy c(network_, rng_);
  ASSERT_EQ(sync(c).kind, Kind::accepted);
  ASSERT_EQ(choosable(c), 4u);
  // All three sources have been taken in: relays in the very prefixes, whose work is said and not done.
  empty_sources();
  for (size_t i = 0; i < 4; i++) {
    relay(50 + i).info.endpoints = relay(i).info.endpoints;
    WorkProof lie = work_of(50 + i);
    lie.rank = 0;
    const EntryPtr e = signed_with(50 + i, lie);
    ASSERT_TRUE(e && e->home == good[i]->home && e->rank == 0);
    for (auto& s : sources_) s.publish(e);
  }
  sync(c);
  EXPECT_EQ(c.set().size(), 4u);
  for (const EntryPtr& e : good) EXPECT_TRUE(c.set().find(e->short_id));
}

TEST_F(ClientCopyTest, ASourceThatNeverComesToAnEndIsLeft) {
  for (size_t s = 0; s < 3; s++) publish(s, 0, 60);
  ClientCopy c(network_, rng_);
  std::vector<SyncSession> sessions;
  for (uint32_t i = 0; i < kSyncSources; i++) {
    sessions.push_back({i});
    sources_[i].open(now_.mono, {i}, SyncRole::client);
  }
  SyncOut out;
  c.sync(now_, sessions, out);
  SyncKey key{};
  const Mono began = now_.mono;
  // The first one says "nothing else" with our key every second.
  while (c.is_syncing() && now_.mono - began < 2 * kSourcePatience) {
    for (const SyncMessage& m : std::exchange(out.messages, {})) {
      if (m.to.value == 0 && m.kind == SyncKind::ranges) {
        key = parse_ranges(m.body)->key;
        continue;
      }
      if (m.to.value == 0) continue;
      SyncOut answer;
      sources_[m.to.value].on_message(now_, m.to, m.kind, m.body, answer);
      for (const SyncMessage& a : answer.messages) c.on_message(now_, a.to, a.kind, a.body, out);
    }
    for (const SyncCheck& k : std::exchange(out.checks, {})) c.on_checked(now_, k.id, run_check(k, network_, CheckDepth::signatures, now_.wall), out);
    const RangePart one{RangePart::Kind::more, kLowest, kHighest, {}, {}};
    c.on_message(now_, {0}, SyncKind::ranges, encode_ranges({key, {one}}), out);
    pass(1s);
    c.on_deadline(now_, out);
  }
  ASSERT_FALSE(c.is_syncing());
  EXPECT_LE(now_.mono - began, kSourcePatience + 60s);
  EXPECT_EQ(choosable(c), 60u);
}

// A source whose session is cut has said what it has said, and no more.
TEST_F(ClientCopyTest, WhatACutSourceDidNotSayItDoesNotHave) {
  publish(0, 0, 120);  // 60 of its own
  publish(1, 0, 60);
  publish(2, 0, 60);
  ClientCopy c(network_, rng_);
  std::vector<SyncSession> sessions;
  for (uint32_t i = 0; i < kSyncSources; i++) {
    sessions.push_back({i});
    sources_[i].open(now_.mono, {i}, SyncRole::client);
  }
  SyncOut out;
  c.sync(now_, sessions, out);
  std::map<uint32_t, size_t> answered;
  for (int i = 0; i < 10'000 && c.is_syncing(); i++) {
    const auto messages = std::exchange(out.messages, {});
    for (const SyncMessage& m : messages) {
      if (m.to.value > 0 && answered[m.to.value] > 0) continue;  // those two fall silent after their first answer
      answered[m.to.value]++;
      SyncOut answer;
      sources_[m.to.value].on_message(now_, m.to, m.kind, m.body, answer);
      for (const SyncMessage& a : answer.messages) c.on_message(now_, a.to, a.kind, a.body, out);
    }
    for (const SyncCheck& k : std::exchange(out.checks, {})) c.on_checked(now_, k.id, run_check(k, network_, CheckDepth::signatures, now_.wall), out);
    if (!messages.empty()) continue;
    pass(100ms);
    c.on_deadline(now_, out);
  }
  for (size_t i = 60; i < 120; i++) EXPECT_FALSE(c.may_choose(relay(i).short_id)) << i;
}

}  // namespace
}  // namespace macrovpn::discovery
