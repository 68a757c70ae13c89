#include "core/discovery/gossip.h"

#include "core/discovery/sync_lab_test.h"

namespace macrovpn::discovery {
namespace {

class GossipTest : public SyncLab {
 protected:
  // One relay of many that all know each other, its neighbours' sessions open and its first comparison equal.
  Gossip settled(size_t relays) {
    RelaySet all(network_);
    SetChanges changes;
    for (size_t i = 0; i < relays; i++) all.insert(signed_by(i), changes);
    Gossip g(all, rng_, relay(0).id);
    SyncOut out;
    g.start(now_, out);
    for (int i = 0; i < 3; i++) answer_calls(g, out);
    EXPECT_FALSE(g.is_newcomer());
    return g;
  }
  // Others take every call and find every comparison equal.
  void answer_calls(Gossip& g, SyncOut& out) {
    for (const PeerId& id : std::exchange(out.calls, {})) {
      const SyncSession s{next_++};
      peer_[s] = id;
      g.on_session(now_, s, id, SyncRole::relay, Opened::by_us, out);
    }
    for (const SyncMessage& m : std::exchange(out.messages, {})) {
      if (m.kind != SyncKind::ranges) continue;
      g.on_message(now_, m.to, SyncKind::ranges, encode_ranges({parse_ranges(m.body)->key, {}}), out);
    }
    g.on_deadline(now_, out);
    g.check_invariants();
  }
  // Moves to its deadlines until `d` is over.
  void run(Gossip& g, Duration d, SyncOut& out, bool answer = true) {
    const Mono end = now_.mono + d;
    while (g.next_deadline() <= end) {
      pass(std::max(g.next_deadline() - now_.mono, Duration(1ms)));
      g.on_deadline(now_, out);
      if (answer) answer_calls(g, out);
    }
  }
  static size_t told(const SyncOut& out) {
    return static_cast<size_t>(std::count_if(out.messages.begin(), out.messages.end(), [](const SyncMessage& m) { return m.kind == SyncKind::have; }));
  }
  uint32_t next_ = 1;
  std::map<SyncSession, PeerId> peer_;
};

TEST_F(GossipTest, NewsThatWaitAreBounded) {
  Gossip g(RelaySet(network_), rng_, relay(0).id);
  SyncOut out;
  g.start(now_, out);
  for (size_t i = 0; i < kMaxNews + 10; i++) ASSERT_TRUE(is_news(g.publish(now_, signed_by(i))));
  g.check_invariants();
  EXPECT_EQ(g.set().size(), kMaxNews + 10);
}

TEST_F(GossipTest, DrawsEightNeighboursOfDifferentPrefixes) {
  RelaySet all(network_);
  SetChanges changes;
  for (size_t i = 0; i < 64; i++) all.insert(signed_by(i), changes);  // four to a /16
  for (int draw = 0; draw < 20; draw++) {
    Gossip g(all, rng_, relay(0).id);
    SyncOut out;
    g.start(now_, out);
    ASSERT_EQ(out.calls.size(), kNeighbours);
    std::set<IpPrefix> prefixes;
    for (const PeerId& id : out.calls) {
      EXPECT_NE(id, relay(0).id);
      prefixes.insert(IpPrefix::of(all.find(short_id_of(id))->home, 16));
    }
    EXPECT_EQ(prefixes.size(), kNeighbours);
  }
}

TEST_F(GossipTest, TakesNeighboursOfOnePrefixWhereThereAreNoOthers) {
  RelaySet all(network_);
  SetChanges changes;
  for (size_t i = 0; i < 4; i++) all.insert(signed_by(i), changes);
  Gossip g(all, rng_, relay(0).id);
  SyncOut out;
  g.start(now_, out);
  EXPECT_EQ(out.calls.size(), 3u);
}

TEST_F(GossipTest, TellsNewsToSixOfItsNeighboursTogether) {
  Gossip g = settled(64);
  SyncOut out;
  EXPECT_EQ(g.publish(now_, signed_by(0, now_.wall)), Inserted::replaced);
  EXPECT_EQ(g.publish(now_, signed_by(0, now_.wall + 1s)), Inserted::replaced);
  EXPECT_GE(g.next_deadline(), now_.mono + kFirstPush);
  run(g, kLastPush, out, false);
  EXPECT_EQ(told(out), kPushTo);
  std::set<SyncSession> to;
  for (const SyncMessage& m : out.messages) to.insert(m.to);
  EXPECT_EQ(to.size(), kPushTo);
  EXPECT_EQ(parse_have(out.messages[0].body)->size(), 2u);
  out.messages.clear();
  run(g, 5s, out, false);
  EXPECT_EQ(told(out), 0u) << "once";
}

TEST_F(GossipTest, NewsThatComeSoonAfterAPushGoTogetherLater) {
  Gossip g = settled(64);
  SyncOut out;
  g.publish(now_, signed_by(0, now_.wall));
  run(g, kLastPush, out, false);
  const Mono pushed = now_.mono;
  ASSERT_EQ(told(out), kPushTo) << "the first at once";
  out.messages.clear();
  g.publish(now_, signed_by(0, now_.wall + 1s));
  pass(kBetweenPushes / 2);
  g.publish(now_, signed_by(0, now_.wall + 2s));
  run(g, pushed + kBetweenPushes - 1ms - now_.mono, out, false);
  EXPECT_EQ(told(out), 0u);
  run(g, pushed + kBetweenPushes - now_.mono, out, false);
  ASSERT_EQ(told(out), kPushTo);
  for (const SyncMessage& m : out.messages) {
    const auto items = m.kind == SyncKind::have ? parse_have(m.body) : std::nullopt;
    EXPECT_TRUE(!items || items->size() == 2);
  }
  out.messages.clear();
  pass(kBetweenPushes);
  g.publish(now_, signed_by(0, now_.wall + 1h));
  run(g, kLastPush, out, false);
  EXPECT_EQ(told(out), kPushTo) << "and after a while at once again";
}

TEST_F(GossipTest, OnlyThoseThatItDrewAreToldNews) {
  Gossip g = settled(64);
  SyncOut out;
  for (uint32_t i = 0; i < 50; i++) g.on_session(now_, {1000 + i}, relay(i).id, SyncRole::relay, Opened::by_them, out);
  g.publish(now_, signed_by(0, now_.wall));
  run(g, kLastPush, out, false);
  EXPECT_EQ(told(out), kPushTo);
  for (const SyncMessage& m : out.messages) EXPECT_LT(m.to.value, 1000u);
}

TEST_F(GossipTest, ComparesEveryThirtyToNinetySeconds) {
  Gossip g = settled(64);
  SyncOut out;
  size_t roots = 0;
  const Mono end = now_.mono + std::chrono::hours(1);
  while (now_.mono < end) {
    pass(std::max(g.next_deadline() - now_.mono, Duration(1ms)));
    g.on_deadline(now_, out);
    for (const SyncMessage& m : out.messages) roots += m.kind == SyncKind::ranges;
    answer_calls(g, out);
  }
  EXPECT_GE(roots, 3600u / 90);
  EXPECT_LE(roots, 3600u / 30);
}

TEST_F(GossipTest, ReplacesNeighboursThatFailOrFallSilent) {
  Gossip g = settled(64);
  SyncOut out;
  // The session of one ends.
  const auto [session, peer] = *std::prev(peer_.end());
  g.on_closed(now_, session, out);
  ASSERT_EQ(out.calls.size(), 1u);
  EXPECT_NE(out.calls[0], peer);
  // Its successor cannot be called.
  const PeerId successor = out.calls[0];
  out.calls.clear();
  g.on_call_failed(now_, successor, out);
  ASSERT_EQ(out.calls.size(), 1u);
  EXPECT_NE(out.calls[0], successor);
  while (!out.calls.empty()) answer_calls(g, out);
  // Nobody answers comparisons any more: one after the other is given up.
  out = {};
  run(g, std::chrono::minutes(10), out, false);
  EXPECT_GE(out.hang_ups.size(), 5u);
  EXPECT_GE(out.calls.size(), 5u);
  EXPECT_LE(g.neighbours(), kNeighbours);
}

TEST_F(GossipTest, ASuccessorIsComparedWithAtOnce) {
  Gossip g = settled(64);
  SyncOut out;
  g.on_closed(now_, std::prev(peer_.end())->first, out);
  ASSERT_EQ(out.calls.size(), 1u);
  g.on_session(now_, {500}, out.calls[0], SyncRole::relay, Opened::by_us, out);
  ASSERT_EQ(out.messages.size(), 1u);
  EXPECT_EQ(out.messages[0].kind, SyncKind::ranges);
}

TEST_F(GossipTest, ANewcomerAnnouncesNothingOfWhatItLearns) {
  RelaySet seeds(network_);
  SetChanges changes;
  seeds.insert(signed_by(1), changes);
  Gossip g(seeds, rng_, relay(0).id);
  Exchange old(RelaySet(network_), rng_, Answers::with_lists);
  for (size_t i = 1; i < 200; i++) old.publish(signed_by(i));
  SyncOut out, out_old;
  g.start(now_, out);
  ASSERT_EQ(out.calls.size(), 1u);
  old.open(now_.mono, kOne, SyncRole::relay);
  out.calls.clear();
  g.on_session(now_, kOne, relay(1).id, SyncRole::relay, Opened::by_us, out);
  talk(g, out, old, out_old);
  EXPECT_EQ(g.set().size(), 199u);
  EXPECT_TRUE(g.is_newcomer());
  for (int i = 0; i < 3; i++) {
    pass(kAnswerTime);
    g.on_deadline(now_, out);
    EXPECT_EQ(told(out), 0u);
    talk(g, out, old, out_old);
  }
  EXPECT_FALSE(g.is_newcomer());
  EXPECT_EQ(g.neighbours(), kNeighbours) << "drawn from all";
}

TEST_F(GossipTest, ForgetsWhatExpires) {
  Gossip g = settled(64);
  SyncOut out;
  run(g, kDescriptorLife, out);
  EXPECT_EQ(g.set().size(), 0u);
}

// Relays that start together are all newcomers: somebody has to begin.
TEST_F(GossipTest, InASmallNetworkWhoIsNoNewcomerAnyMoreTellsAllItKnows) {
  RelaySet seeds(network_);
  SetChanges changes;
  seeds.insert(signed_by(1), changes);
  Gossip g(seeds, rng_, relay(0).id);
  Exchange old(RelaySet(network_), rng_, Answers::with_lists);
  for (size_t i = 1; i < 6; i++) old.publish(signed_by(i));
  SyncOut out, out_old;
  g.start(now_, out);
  old.open(now_.mono, kOne, SyncRole::relay);
  g.on_session(now_, kOne, relay(1).id, SyncRole::relay, Opened::by_us, out);
  for (int i = 0; i < 4 && g.is_newcomer(); i++) {
    talk(g, out, old, out_old);
    pass(kAnswerTime);
    g.on_deadline(now_, out);
  }
  EXPECT_FALSE(g.is_newcomer());
  SyncSession next = kOne;
  for (const PeerId& id : std::exchange(out.calls, {})) g.on_session(now_, next = {next.value + 1}, id, SyncRole::relay, Opened::by_us, out);
  out.messages.clear();
  pass(kLastPush);
  g.on_deadline(now_, out);
  EXPECT_GE(told(out), 5u);
}

}  // namespace
}  // namespace macrovpn::discovery
