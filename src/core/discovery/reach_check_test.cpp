// Squatters of addresses against relays that call first; each with a control in which nobody calls.
#include "core/discovery/reach_check.h"

#include <gtest/gtest.h>

#include <set>

namespace macrovpn::discovery {
namespace {

// Entries are made here without descriptors: the policy looks at ids, ranks and homes alone.
EntryPtr entry(uint32_t n, const IpAddress& home, uint64_t rank) {
  auto e = std::make_shared<RelayEntry>();
  store_be32(e->id.bytes.data(), n * 2654435761u);
  store_be32(e->id.bytes.data() + 4, n);
  e->short_id = short_id_of(e->id);
  e->seq = 1;
  e->rank = rank;
  e->expiry = Wall::max();
  e->home = home;
  return e;
}
IpAddress in_24(uint32_t net, uint32_t host) { return IpAddress::v4(0x14000000u + (net << 16) + host); }

// One relay that calls, with a world in which some addresses answer.
struct Caller {
  Caller(const Network& network, uint64_t seed) : rng(seed), set(network), check(network, self(), IpAddress::v4(0xcb007101), rng) {}
  static PeerId self() { return PeerId{{0xff, 0xff}}; }

  void hear(const EntryPtr& e, Heard heard) {
    ReachOut out;
    const auto gate = check.on_entry(now, e, heard, set, out);
    if (gate == ReachCheck::Gate::open) set.insert(e, changes);
    carry(out);
  }
  void carry(ReachOut& out) {
    for (const EntryPtr& e : out.drop) set.drop(e->short_id, changes), dropped.push_back(e->id);
    for (const EntryPtr& e : out.admit) set.insert(e, changes);
    for (const DialWish& d : out.dials) {
      calls++;
      to_answer.push_back(d);
    }
  }
  void run(Duration d) {
    const Mono end = now.mono + d;
    while (true) {
      while (!to_answer.empty()) {
        const DialWish w = to_answer.front();
        to_answer.erase(to_answer.begin());
        ReachOut out;
        const Dialed said = answer(w);
        if (said != Dialed::silent) check.on_dialed(now, w.number, said, set, out);
        carry(out);
      }
      const Mono next = check.next_deadline();
      if (next > end) break;
      now.mono = std::max(now.mono, next);
      ReachOut out;
      check.on_deadline(now, set, out);
      carry(out);
      check.check_invariants();
      set.check_invariants();
    }
    now.mono = end;
  }
  Dialed answer(const DialWish& w) {
    const bool there = answers.contains(w.subject->id);
    if (!w.by) return there || only_to_us.contains(w.subject->id) ? Dialed::yes : Dialed::silent;
    if (liars.contains(*w.by)) return there ? Dialed::no : Dialed::yes;
    return there ? Dialed::yes : Dialed::no;
  }
  bool has(const EntryPtr& e) const { return set.find(e->short_id) != nullptr; }

  SeededRng rng;
  RelaySet set;
  ReachCheck check;
  SetChanges changes;
  Now now{Mono(std::chrono::hours(1)), wall_from_unix(1'800'000'000)};
  std::set<PeerId> answers, only_to_us, liars;
  std::vector<DialWish> to_answer;
  std::vector<PeerId> dropped;
  size_t calls = 0;
};

struct ReachCheckTest : ::testing::Test {
  // Twenty relays of other prefixes, who can be asked.
  void people(Caller& c) {
    for (uint32_t i = 0; i < 20; i++) {
      const EntryPtr e = entry(5'000 + i, in_24(100 + i, 1), 500);
      c.answers.insert(e->id);
      c.hear(e, Heard::from_others);
      others.push_back(e);
    }
  }
  Network network;
  std::vector<EntryPtr> others;
};

TEST_F(ReachCheckTest, ANewcomerIsHeldUntilWeAndTwoStrangersReachedIt) {
  Caller c(network, 1);
  people(c);
  const size_t before = c.calls;
  const EntryPtr e = entry(1, in_24(1, 7), 9);
  c.answers.insert(e->id);
  ReachOut out;
  EXPECT_EQ(c.check.on_entry(c.now, e, Heard::from_itself, c.set, out), ReachCheck::Gate::held);
  ASSERT_EQ(out.dials.size(), 1u);
  EXPECT_FALSE(out.dials[0].by) << "we first";
  EXPECT_FALSE(c.has(e));
  c.carry(out);
  c.run(1s);
  EXPECT_TRUE(c.has(e));
  EXPECT_EQ(c.calls - before, 3u);
}

TEST_F(ReachCheckTest, StrangersAreOfOtherPrefixesThanTheSubjectAndWe) {
  Caller c(network, 1);
  people(c);
  c.hear(entry(2, in_24(1, 200), 1), Heard::from_others);             // the subject's /16
  c.hear(entry(3, IpAddress::v4(0xcb007205), 1), Heard::from_others);  // ours
  for (uint32_t i = 10; i < 60; i++) {
    ReachOut out;
    const EntryPtr e = entry(i, in_24(1, i), 1'000 + i);
    c.check.on_entry(c.now, e, Heard::from_itself, c.set, out);
    while (!out.dials.empty()) {
      const DialWish w = out.dials.back();
      out.dials.pop_back();
      if (w.by) {
        EXPECT_TRUE(std::any_of(others.begin(), others.end(), [&](const EntryPtr& o) { return o->id == *w.by; }));
      }
      c.check.on_dialed(c.now, w.number, Dialed::yes, c.set, out);
    }
  }
}

TEST_F(ReachCheckTest, WhoAnswersNobodyIsNotTakenAndNotCalledForEver) {
  Caller c(network, 1);
  people(c);
  const size_t before = c.calls;
  const EntryPtr e = entry(1, in_24(1, 7), 9);
  c.hear(e, Heard::from_itself);
  c.run(2min);
  EXPECT_FALSE(c.has(e));
  EXPECT_EQ(c.calls - before, 3u);
  c.hear(e, Heard::from_itself);
  EXPECT_EQ(c.calls - before, 3u) << "not again so soon";
  c.answers.insert(e->id);
  c.run(kUnreachedFor);
  c.hear(e, Heard::from_itself);
  c.run(1s);
  EXPECT_TRUE(c.has(e)) << "later it may have opened its port";
}

TEST_F(ReachCheckTest, ANatThatLetsInNobodyButUsIsFoundOut) {
  Caller c(network, 1);
  people(c);
  const EntryPtr e = entry(1, in_24(1, 7), 9);
  c.only_to_us.insert(e->id);
  c.hear(e, Heard::from_itself);
  c.run(2min);
  EXPECT_FALSE(c.has(e));
}

TEST_F(ReachCheckTest, ThreeInTenWhoLieSeldomKeepAnHonestNewcomerOutAndNeverLetASquatterIn) {
  size_t honest_in = 0, squatters_in = 0;
  for (uint64_t seed = 1; seed <= 200; seed++) {
    Caller c(network, seed);
    people(c);
    for (size_t i = 0; i < 6; i++) c.liars.insert(others[others.size() - 20 + i]->id);
    const EntryPtr honest = entry(1, in_24(1, 7), 9), squatter = entry(2, in_24(2, 7), 9);
    c.answers.insert(honest->id);
    c.hear(honest, Heard::from_itself);
    c.hear(squatter, Heard::from_itself);
    c.run(2min);
    honest_in += c.has(honest);
    squatters_in += c.has(squatter);
  }
  EXPECT_EQ(squatters_in, 0u) << "who does not answer us is not reached, whatever others say";
  EXPECT_GT(honest_in, 170u) << "and it may try again";
}

TEST_F(ReachCheckTest, InANetworkOfTwoOurOwnCallHasToDo) {
  Caller c(network, 1);
  const EntryPtr e = entry(1, in_24(1, 7), 9);
  c.answers.insert(e->id);
  c.hear(e, Heard::from_itself);
  c.run(1s);
  EXPECT_TRUE(c.has(e));
}

TEST_F(ReachCheckTest, WhatOthersHandOnNeedsNoCallWhereThereIsRoom) {
  Caller c(network, 1);
  c.hear(entry(1, in_24(1, 7), 9), Heard::from_others);
  EXPECT_EQ(c.set.size(), 1u);
  EXPECT_EQ(c.calls, 0u);
}

TEST_F(ReachCheckTest, ARenewalIsNeverHeld) {
  Caller c(network, 1);
  const EntryPtr e = entry(1, in_24(1, 7), 9);
  c.hear(e, Heard::from_others);
  auto newer = std::make_shared<RelayEntry>(*e);
  newer->seq = 2;
  ReachOut out;
  EXPECT_EQ(c.check.on_entry(c.now, newer, Heard::from_itself, c.set, out), ReachCheck::Gate::open);
  newer->home = in_24(9, 9);
  EXPECT_EQ(c.check.on_entry(c.now, newer, Heard::from_itself, c.set, out), ReachCheck::Gate::held) << "it moved: a claim again";
}

TEST_F(ReachCheckTest, AShortOutageCostsNobodyHisPlace) {
  Caller c(network, 1);
  const EntryPtr a = entry(1, in_24(1, 7), 500), b = entry(2, in_24(1, 8), 600), wants = entry(3, in_24(1, 9), 700);
  for (const EntryPtr& e : {a, b}) c.hear(e, Heard::from_others);
  c.answers = {b->id, wants->id};
  c.hear(wants, Heard::from_others);
  c.run(5min);
  EXPECT_TRUE(c.has(a) && c.has(b) && !c.has(wants));
  c.answers.insert(a->id);
  c.run(1h);
  EXPECT_TRUE(c.has(a) && c.has(b)) << "all three answer: the lower ranks stay";
  EXPECT_FALSE(c.has(wants));
}

TEST_F(ReachCheckTest, OurOwnPlaceIsContestedWithoutACallOfOurselves) {
  Caller c(network, 1);
  for (uint32_t i = 0; i < 2; i++) c.hear(entry(1 + i, in_24(1, i), i), Heard::from_others);
  auto own = std::make_shared<RelayEntry>(*entry(9, in_24(1, 9), 900));
  own->id = Caller::self();
  own->short_id = short_id_of(own->id);
  c.hear(own, Heard::from_others);
  EXPECT_FALSE(c.has(own)) << "those who live there have their time";
  c.run(1h);
  EXPECT_TRUE(c.has(own));
  EXPECT_EQ(c.set.size(), 1u);
  EXPECT_EQ(c.calls, 6u);
}

// Two squatters with the best ranks for every /24 in which an honest relay lives, known to all before it; several relays hear of all in
// orders of their own.
struct Outcome {
  size_t honest_missing = 0, squatters = 0;
  bool all_equal = true;
};
Outcome squat(const Network& network, bool called, unsigned liars_in_ten) {
  constexpr uint32_t kHonest = 30;
  std::vector<EntryPtr> honest, squatters;
  for (uint32_t i = 0; i < kHonest; i++) {
    honest.push_back(entry(1 + i, in_24(i, 7), 1'000 + i));
    for (uint32_t k = 0; k < 2; k++) squatters.push_back(entry(1'000 + 2 * i + k, in_24(i, 100 + k), k));
  }
  Outcome out;
  std::set<uint64_t> first;
  for (uint64_t who = 1; who <= 6; who++) {
    Caller c(network, who);
    for (uint32_t i = 0; i < kHonest; i++) {
      c.answers.insert(honest[i]->id);
      if (i % 10 < liars_in_ten) c.liars.insert(honest[i]->id);
    }
    std::vector<EntryPtr> order = squatters;
    order.insert(order.end(), honest.begin(), honest.end());
    for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[c.rng.below(i)]);
    // Twice: who was refused tells of itself again with its renewal.
    for (int round = 0; round < 3; round++) {
      for (const EntryPtr& e : order) {
        if (!called) {
          c.set.insert(e, c.changes);
        } else if (!c.has(e)) {
          c.hear(e, round == 0 && c.rng.below(4) == 0 ? Heard::from_itself : Heard::from_others);
          c.run(c.rng.between(0s, 20s));
        }
      }
      c.run(2h);
    }
    std::set<uint64_t> in;
    for (const EntryPtr& e : c.set.all()) in.insert(e->short_id.value);
    for (const EntryPtr& e : honest) out.honest_missing += !c.has(e);
    for (const EntryPtr& e : squatters) out.squatters += c.has(e);
    if (who == 1) first = in;
    out.all_equal &= in == first;
  }
  return out;
}

TEST_F(ReachCheckTest, WithoutCallsClaimedAddressesCrowdAllHonestRelaysOut) {
  const Outcome o = squat(network, false, 0);
  EXPECT_EQ(o.honest_missing, 6u * 30u);
}

TEST_F(ReachCheckTest, ClaimedAddressesCrowdNobodyOutAndAllRelaysAgree) {
  for (const unsigned liars : {0u, 3u}) {
    const Outcome o = squat(network, true, liars);
    EXPECT_EQ(o.honest_missing, 0u) << liars;
    EXPECT_EQ(o.squatters, 0u) << liars;
    EXPECT_TRUE(o.all_equal) << liars;
  }
}

TEST_F(ReachCheckTest, WhatWaitsIsBounded) {
  Caller c(network, 1);
  for (uint32_t i = 0; i < 3 * kMaxHeld; i++) {
    ReachOut out;
    c.check.on_entry(c.now, entry(i, in_24(i % 250, i), i), Heard::from_itself, c.set, out);
    EXPECT_LE(out.dials.size(), kMaxCalls);
  }
  EXPECT_EQ(c.check.held(), kMaxHeld);
  EXPECT_EQ(c.check.calls(), kMaxCalls);
  c.run(std::chrono::hours(30));
  EXPECT_EQ(c.check.held(), 0u);
}

}  // namespace
}  // namespace macrovpn::discovery
