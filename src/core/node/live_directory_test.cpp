// The directory as nodes keep it: relays among themselves, clients through circuits.
#include <gtest/gtest.h>

#include "core/node/node_world_test.h"

namespace macrovpn::node {
namespace {

using discovery::SyncVerdict;

struct LiveNet : TestWorld {
  explicit LiveNet(int relays, uint64_t seed = 1) : TestWorld(seed) {
    network.max_per_v4_24 = network.max_per_v4_16 = 100;
    live = DirectoryConfig{};
    for (int i = 0; i < relays; i++) relay(i);
  }
  Host& relay(int i, size_t shards = 1, uint32_t as_number = 0) {
    Host& h = add_relay("r" + std::to_string(i), "198.51.100." + std::to_string(16 * i + 1), i % 2 == 1, shards);
    h.as_number = as_number;
    if (live->contacts.empty()) live->contacts.push_back(contact(h));
    run_for(10ms);
    announce(h);
    return h;
  }
  Host& client() {
    Host& c = add_client("client", "203.0.113.7", {});
    return c;
  }
  size_t known_to(const Host& h) const { return h.node->live_directory()->set().size(); }
  bool all_know(size_t n) const {
    return std::all_of(hosts.begin(), hosts.end(), [&](const auto& h) { return !h.second->config.relay || h.second->dead || known_to(*h.second) == n; });
  }
  std::optional<SyncVerdict> verdict(const Host& h) const { return h.node->live_directory()->status().last; }
  size_t links(Host& h) { return h.node->links().size(); }
};

TEST(LiveDirectory, RelaysThatKnowOneSeedLearnOfAllWithinSeconds) {
  LiveNet net(10);
  EXPECT_TRUE(net.run_until([&] { return net.all_know(10); }, 10s));
  for (auto& [name, h] : net.hosts) EXPECT_EQ(h->node->directory().relays().size(), 10u);
}

TEST(LiveDirectory, ALaterRelayIsKnownToAllSoon) {
  LiveNet net(8);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(8); }, 10s));
  net.run_for(5min);
  net.relay(9);
  EXPECT_TRUE(net.run_until([&] { return net.all_know(9); }, 10s));
}

TEST(LiveDirectory, TheSeedMayDie) {
  LiveNet net(8);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(8); }, 10s));
  net.hosts["r0"]->dead = true;
  net.run_for(3min);
  net.live->contacts.push_back(net.contact(*net.hosts["r3"]));
  net.relay(9);
  EXPECT_TRUE(net.run_until([&] { return net.all_know(9); }, 60s));
}

TEST(LiveDirectory, ARelayThatRestartsFetchesAllAgain) {
  LiveNet net(8);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(8); }, 10s));
  auto& r5 = *net.hosts["r5"];
  net.run_for(2s);
  net.restart(r5);
  net.announce(r5);
  EXPECT_TRUE(net.run_until([&] { return net.all_know(8); }, 60s));
  // And the others have its new prekey.
  const PeerId id = discovery::peer_id_of(r5.config.identity->pub);
  EXPECT_TRUE(net.run_until(
      [&] {
        return std::all_of(net.hosts.begin(), net.hosts.end(), [&](const auto& h) {
          const RelayInfo* r = h.second->node->directory().find(id, net.now.wall);
          return r != nullptr && r->prekey == r5.prekey;
        });
      },
      60s));
}

TEST(LiveDirectory, ANewcomerAsksItsContactsAndThenHasACircuit) {
  LiveNet net(10);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(10); }, 10s));
  for (const char* name : {"r3", "r6"}) net.live->contacts.push_back(net.contact(*net.hosts[name]));
  auto& c = net.client();
  net.attach(c, TunId{1});
  EXPECT_TRUE(net.run_until([&] { return net.active(c, TunId{1}) != nullptr; }, 30s));
  ASSERT_TRUE(net.verdict(c));
  EXPECT_EQ(net.verdict(c)->kind, SyncVerdict::Kind::accepted);
  EXPECT_EQ(net.verdict(c)->answered, 3u);
  EXPECT_EQ(net.verdict(c)->found, 10u);
  EXPECT_EQ(c.node->directory().relays().size(), 10u);
}

TEST(LiveDirectory, LaterSyncsGoThroughCircuits) {
  LiveNet net(8);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(8); }, 10s));
  auto& c = net.client();
  net.attach(c, TunId{1});
  ASSERT_TRUE(net.run_until([&] { return net.active(c, TunId{1}) != nullptr; }, 30s));
  const size_t before = net.count<DirectorySynced>(c);
  // From now on whom the client itself speaks to, beside its guards, is told.
  std::set<IpAddress> spoken;
  net.sends = [&](const TestWorld::Host& h, const Datagram& d) {
    if (&h == &c) spoken.insert(d.remote.address);
  };
  net.relay(9);
  ASSERT_TRUE(net.run_until([&] { return net.count<DirectorySynced>(c) > before; }, 5min));
  EXPECT_TRUE(net.run_until([&] { return c.node->directory().relays().size() == 9; }, 10min));
  for (const IpAddress& a : spoken) {
    const bool is_guard = std::any_of(c.node->client()->guards().all().begin(), c.node->client()->guards().all().end(), [&](const auto& g) {
      const RelayInfo* r = c.node->directory().find(g.id, net.now.wall);
      return r != nullptr && r->endpoints[0].address == a;
    });
    EXPECT_TRUE(is_guard) << "a relay that is no guard of the client's was told its address";
  }
  EXPECT_EQ(net.verdict(c)->answered, 3u);
}

// Two evil sources of three decide what a client believes: so no two are of one network or operator, and a flood of relays of one is
// drawn no oftener than its bound.
TEST(LiveDirectory, NoTwoSourcesAreOfOneSystem) {
  LiveNet net(0);
  constexpr uint32_t kHis = 64999;
  std::set<PeerId> his;
  for (int i = 0; i < 16; i++) {
    auto& r = net.relay(i, 1, i < 4 ? 64500 + static_cast<uint32_t>(i) : kHis);
    if (i >= 4) his.insert(discovery::peer_id_of(r.config.identity->pub));
  }
  ASSERT_TRUE(net.run_until([&] { return net.all_know(16); }, 20s));
  auto& c = net.client();
  net.attach(c, TunId{1});
  ASSERT_TRUE(net.run_until([&] { return net.active(c, TunId{1}) != nullptr; }, 30s));
  net.run_for(5s);
  size_t syncs = 0;
  for (int i = 0; i < 10; i++) {
    const size_t before = net.count<DirectorySynced>(c);
    net.command(c, [&](Node& n, Effects&) { n.live_directory()->sync_now(net.now); });
    if (!net.run_until([&] { return net.count<DirectorySynced>(c) > before; }, 5min)) continue;
    const auto sources = c.node->live_directory()->status().sources;
    syncs++;
    EXPECT_GE(sources.size(), 2u);
    EXPECT_LE(std::count_if(sources.begin(), sources.end(), [&](const PeerId& id) { return his.contains(id); }), 1);
  }
  EXPECT_GE(syncs, 8u);
}

TEST(LiveDirectory, WhoKeptSomethingBackThriceIsAskedOnlyWhereThereAreTooFewOthers) {
  LiveNet net(10);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(10); }, 10s));
  auto& c = net.client();
  const auto id_of = [&](const std::string& name) { return discovery::peer_id_of(net.hosts[name]->config.identity->pub); };
  const PeerId struck[] = {id_of("r1"), id_of("r2"), id_of("r3")};
  net.command(c, [&](Node& n, Effects&) {
    for (const PeerId& id : struck) n.live_directory()->restore_strikes(id, DirectorySide::kStruckOut);
    for (const char* other : {"r0", "r4", "r5", "r6", "r7", "r8", "r9"}) n.live_directory()->restore_strikes(id_of(other), DirectorySide::kStruckOut - 1);
  });
  net.attach(c, TunId{1});
  ASSERT_TRUE(net.run_until([&] { return net.active(c, TunId{1}) != nullptr; }, 30s));
  size_t asked = 0;
  for (int i = 0; i < 20; i++) {
    const size_t before = net.count<DirectorySynced>(c);
    net.command(c, [&](Node& n, Effects&) { n.live_directory()->sync_now(net.now); });
    if (!net.run_until([&] { return net.count<DirectorySynced>(c) > before; }, 5min)) continue;
    for (const PeerId& id : c.node->live_directory()->status().sources) {
      EXPECT_EQ(std::count(std::begin(struck), std::end(struck), id), 0);
      asked++;
    }
  }
  EXPECT_GE(asked, 40u) << "two strikes may be bad luck";
}

TEST(LiveDirectory, ARelayThatCameLaterIsNoOlderThanItsComing) {
  LiveNet net(8);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(8); }, 10s));
  auto& c = net.client();
  net.attach(c, TunId{1});
  ASSERT_TRUE(net.run_until([&] { return c.node->directory().relays().size() == 8; }, 60s));
  net.command(c, [&](Node& n, Effects&) {
    n.live_directory()->restore_first_seen(discovery::short_id_of(discovery::peer_id_of(net.hosts["r0"]->config.identity->pub)), net.now.wall - 720h);
  });
  net.relay(9);
  ASSERT_TRUE(net.run_until([&] { return c.node->directory().relays().size() == 9; }, 3h));
  const PeerId late = discovery::peer_id_of(net.hosts["r9"]->config.identity->pub);
  EXPECT_LT(net.hosts["r0"]->node->directory().find(late, net.now.wall)->created, net.now.wall - 720h) << "it says that it is old";
  EXPECT_GT(c.node->directory().find(late, net.now.wall)->created, net.now.wall - 4h);
}

// Relays find out who is gone, a client hears it with its comparisons, and builds around it without having tried.
TEST(LiveDirectory, QuestionsAboutWhoAnswersAreBoundedForEachAndForAll) {
  LiveNet net(6);
  net.run_for(1min);
  auto& asked = *net.hosts["r0"];
  std::map<std::string, PeerRef> callers;
  for (int i = 1; i <= 4; i++) {
    auto& h = *net.hosts["r" + std::to_string(i)];
    net.command(h, [&](Node& n, Effects&) { callers[h.name] = *n.links().open(net.now, net.contact(asked), LinkUse::verification); });
  }
  net.run_for(2s);
  std::vector<uint8_t> ask{kMapAsk | 0x80};
  const auto all = discovery::write_map_ask(discovery::kAllIds);
  ask.insert(ask.end(), all.begin(), all.end());
  const auto frame = routing::write_frame(routing::FrameType::directory, ask);
  uint64_t sent = 0;
  net.sends = [&](const TestWorld::Host& from, const Datagram&) { sent += &from == &asked; };
  const auto answers_to = [&](const std::string& name, size_t questions) {
    const uint64_t before = sent;
    for (size_t i = 0; i < questions; i++) {
      net.send_frame(*net.hosts[name], callers[name], frame);
      if (i % 20 == 0) net.run_for(1ms);
    }
    net.run_for(100ms);
    return sent - before;
  };
  const uint64_t first = answers_to("r1", 1'000);
  EXPECT_GE(first, DirectorySide::kMapsOfOne);
  EXPECT_LE(first, DirectorySide::kMapsOfOne + 20);
  const uint64_t others = answers_to("r2", 250) + answers_to("r3", 250) + answers_to("r4", 250);
  EXPECT_LE(first + others, DirectorySide::kMapsInAll.burst + DirectorySide::kMapsInAll.per_second + 60);
  EXPECT_GE(others, 50u);
}

TEST(LiveDirectory, WhoIsDeadIsKnownToClientsThatNeverCalledIt) {
  LiveNet net(0);
  net.live->probed_each = 10min;
  for (int i = 0; i < 12; i++) net.relay(i);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(12); }, 20s));
  const auto short_id = [&](const std::string& name) { return discovery::short_id_of(discovery::peer_id_of(net.hosts[name]->config.identity->pub)); };
  net.hosts["r5"]->dead = net.hosts["r7"]->dead = true;
  net.run_for(60min);
  auto& c = net.client();
  net.attach(c, TunId{99});
  ASSERT_TRUE(net.run_until([&] { return net.active(c, TunId{99}) != nullptr; }, 60s));
  for (int i = 0; i < 3 && c.node->live_directory()->liveness(short_id("r5")) != discovery::Liveness::dead; i++) {
    net.command(c, [&](Node& n, Effects&) { n.live_directory()->sync_now(net.now); });
    net.run_for(15s);
  }
  ASSERT_EQ(c.node->live_directory()->liveness(short_id("r5")), discovery::Liveness::dead);
  EXPECT_EQ(c.node->live_directory()->liveness(short_id("r7")), discovery::Liveness::dead);
  for (int i = 0; i < 12; i++) {
    if (i == 5 || i == 7) continue;
    EXPECT_EQ(c.node->live_directory()->liveness(short_id("r" + std::to_string(i))), discovery::Liveness::alive) << i;
  }
  const auto& circuits = c.node->client()->circuits();
  const uint64_t last = circuits.rbegin()->first.value;
  const size_t had = circuits.size();
  for (uint32_t i = 1; i <= 6; i++) {
    net.attach(c, TunId{i});
    ASSERT_TRUE(net.run_until([&] { return net.active(c, TunId{i}) != nullptr; }, 30s));
  }
  // None of its builds met a dead relay.
  EXPECT_EQ(circuits.rbegin()->first.value - last, circuits.size() - had);
}

TEST(LiveDirectory, NobodyAnswersIsSaidAndTriedAgain) {
  LiveNet net(4);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(4); }, 10s));
  net.hosts["r0"]->dead = true;
  auto& c = net.client();
  ASSERT_TRUE(net.run_until([&] { return net.verdict(c).has_value(); }, 30s));
  EXPECT_EQ(net.verdict(c)->kind, SyncVerdict::Kind::nobody_answered);
  net.restart(*net.hosts["r0"]);
  net.announce(*net.hosts["r0"]);
  EXPECT_TRUE(net.run_until([&] { return c.node->directory().relays().size() == 4; }, 10min));
}

TEST(LiveDirectory, CallersOfAnyShardAreServed) {
  LiveNet net(0);
  net.relay(0, 3);
  for (int i = 1; i < 6; i++) net.relay(i);
  EXPECT_TRUE(net.run_until([&] { return net.all_know(6); }, 20s));
  auto& r0 = *net.hosts["r0"];
  for (size_t i = 0; i < 3; i++) EXPECT_EQ(r0.shard(i).directory().relays().size(), 6u);
  EXPECT_GT(net.crossed[ShardNote::Kind::question], 0u);
}

TEST(LiveDirectory, WhoIsNoRelayIsToldNothingUnasked) {
  LiveNet net(6);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(6); }, 10s));
  auto& c = net.client();
  ASSERT_TRUE(net.run_until([&] { return c.node->directory().relays().size() == 6; }, 30s));
  // A client that says HAVE is not listened to.
  EXPECT_EQ(net.known_to(*net.hosts["r0"]), 6u);
  net.run_for(2min);
  for (auto& [name, h] : net.hosts) h->node->check_invariants();
}

TEST(LiveDirectory, IdleRelaysKeepFewLinksAndLittleTraffic) {
  LiveNet net(10);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(10); }, 10s));
  net.run_for(2min);
  uint64_t before = 0, after = 0;
  for (auto& [name, h] : net.hosts) before += h->bytes_out;
  net.run_for(30min);
  for (auto& [name, h] : net.hosts) after += h->bytes_out;
  EXPECT_LT((after - before) / 10 / 1800, 150u) << "bytes a second of one relay";
  for (auto& [name, h] : net.hosts) {
    EXPECT_LE(net.links(*h), discovery::kNeighbours);
    EXPECT_GE(net.links(*h), 4u);
  }
}

}  // namespace
}  // namespace macrovpn::node
