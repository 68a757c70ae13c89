// Records of the DHT as nodes keep and ask for them: clients through circuits, relays over links of their own.
#include <gtest/gtest.h>

#include "core/node/node_world_test.h"

namespace macrovpn::node {
namespace {

using discovery::DhtRecord;
using discovery::DhtService;
using Kind = RecordOutcome::Kind;

constexpr int64_t kNoon = 20'718 * int64_t{86'400} + 43'200;

struct RecordsNet : TestWorld {
  explicit RecordsNet(int relays, int64_t unix = kNoon, std::set<int> with_shards = {}) {
    now.wall = wall_from_unix(unix);
    network.max_per_v4_24 = network.max_per_v4_16 = 100;
    live = DirectoryConfig{};
    for (int i = 0; i < relays; i++) relay(i, with_shards.contains(i) ? 2 : 1);
    EXPECT_TRUE(run_until([&] { return all_know(); }, 60s));
  }
  Host& relay(int i, size_t shards = 1) {
    Host& h = add_relay("r" + std::to_string(10 + i), "198.51." + std::to_string(100 + i) + ".1", i % 2 == 1, shards);
    if (live->contacts.empty()) live->contacts.push_back(contact(h));
    run_for(10ms);
    announce(h);
    return h;
  }
  bool all_know() const {
    const auto relays = std::count_if(hosts.begin(), hosts.end(), [](const auto& h) { return h.second->config.relay && !h.second->dead; });
    return std::all_of(hosts.begin(), hosts.end(), [&](const auto& h) {
      return !h.second->config.relay || h.second->dead || std::ssize(h.second->node->live_directory()->set().all()) >= relays;
    });
  }
  // With a circuit.
  Host& client(const std::string& name, const std::string& address) {
    Host& c = add_client(name, address, {});
    attach(c, TunId{1});
    EXPECT_TRUE(run_until([&] { return active(c, TunId{1}) != nullptr && active(c, TunId{1})->granted; }, 60s));
    return c;
  }
  Result<RecordTicket> try_put(Host& h, const RecordPut& p) {
    Result<RecordTicket> t = fail("not asked");
    command_first(h, [&](Node& n, Effects& fx) { t = n.put_record(now, p, fx); });
    return t;
  }
  void command_first(Host& h, const std::function<void(Node&, Effects&)>& f) {
    command(h, [&](Node& n, Effects& fx) {
      if (&n == h.node.get()) f(n, fx);
    });
  }
  std::optional<RecordOutcome> ended(const Host& h, RecordTicket t) const {
    for (const NodeEvent& e : h.events) {
      if (const auto* r = std::get_if<RecordEnded>(&e); r != nullptr && r->ticket == t) return r->outcome;
    }
    return std::nullopt;
  }
  RecordOutcome wait(Host& h, const Result<RecordTicket>& t) {
    EXPECT_TRUE(t.ok());
    EXPECT_TRUE(run_until([&] { return ended(h, *t).has_value(); }, kRecordsTakeAtMost));
    return ended(h, *t).value_or(RecordOutcome{});
  }
  RecordOutcome put(Host& h, const std::string& value, const std::string& name = "a", Duration life = std::chrono::hours(20)) {
    return wait(h, try_put(h, {.name = name, .value = {value.begin(), value.end()}, .owner = owner, .life = life}));
  }
  RecordOutcome get(Host& h, const std::string& name = "a") {
    Result<RecordTicket> t = fail("not asked");
    command_first(h, [&](Node& n, Effects& fx) { t = n.get_record(now, {.owner = owner.pub, .name = name}, fx); });
    return wait(h, t);
  }
  static std::string text(const RecordOutcome& o) { return o.record ? std::string(o.record->value.begin(), o.record->value.end()) : "none"; }
  size_t held() const {
    size_t n = 0;
    for (const auto& [name, h] : hosts) n += h->config.relay ? h->node->records_kept()->size() : 0;
    return n;
  }
  // In the order in which they are asked.
  std::vector<Host*> holders(const std::string& name = "a") {
    auto& any = *hosts.begin()->second->node;
    const discovery::DhtSlot slot{static_cast<uint8_t>(DhtService::notes), owner.pub, discovery::dht_name(network.id, name), discovery::dht_day(now.wall)};
    std::vector<Host*> out;
    for (const PeerId& id : any.live_directory()->places().closest(discovery::dht_key(network.id, slot))) {
      for (auto& [n, h] : hosts) {
        if (h->config.identity && discovery::peer_id_of(h->config.identity->pub) == id) out.push_back(h.get());
      }
    }
    return out;
  }
  bool is_in_circuit(const Host& client, const Host& relay) const {
    for (const auto& [id, c] : client.node->client()->circuits()) {
      for (const Hop& h : c.hops) {
        if (h.relay.wireguard == relay.config.wireguard.pub) return true;
      }
    }
    return false;
  }
  void check_all() const {
    for (const auto& [name, h] : hosts) h->node->check_invariants();
  }
  SeededRng own{77};
  crypto::SigningKey owner = crypto::ed25519_generate(own), other = crypto::ed25519_generate(own);
};

TEST(Records, WhatOneClientPutsAnotherGets) {
  RecordsNet net(12);  // so that all of them hold every record
  auto& alice = net.client("alice", "203.0.113.7");
  auto& bob = net.client("bob", "203.0.113.8");
  const Mono began = net.now.mono;
  const auto way = alice.node->client()->way_to_relays();
  ASSERT_TRUE(way);
  size_t others = 0;
  for (TestWorld::Host* h : net.holders()) others += std::count(way->hops.begin(), way->hops.end(), discovery::peer_id_of(h->config.identity->pub)) == 0;
  const RecordOutcome put = net.put(alice, "hello");
  EXPECT_EQ(put.kind, Kind::stored);
  EXPECT_TRUE(put.enough);
  EXPECT_EQ(put.holders, others) << "all but those of its own circuit";
  EXPECT_EQ(net.held(), put.holders);
  const RecordOutcome got = net.get(bob);
  ASSERT_EQ(got.kind, Kind::found);
  EXPECT_EQ(net.text(got), "hello");
  EXPECT_EQ(got.record->slot.owner, net.owner.pub);
  EXPECT_LT(net.now.mono - began, 2s) << "nobody is waited for who cannot be asked";
  EXPECT_EQ(net.get(bob, "b").kind, Kind::none);
  EXPECT_EQ(alice.node->links().size() + bob.node->links().size(), 0u) << "links end with their question";
  net.check_all();
}

TEST(Records, ClientsSpeakToTheirGuardsAlone) {
  RecordsNet net(18);
  auto& alice = net.client("alice", "203.0.113.7");
  std::set<IpAddress> spoken;
  net.sends = [&](const TestWorld::Host& h, const Datagram& d) {
    if (&h == &alice) spoken.insert(d.remote.address);
  };
  EXPECT_EQ(net.put(alice, "hello").kind, Kind::stored);
  EXPECT_EQ(net.get(alice).kind, Kind::found);
  EXPECT_FALSE(spoken.empty());
  for (const IpAddress& a : spoken) {
    const auto& guards = alice.node->client()->guards().all();
    EXPECT_TRUE(std::any_of(guards.begin(), guards.end(), [&](const auto& g) {
      const RelayInfo* r = alice.node->directory().find(g.id, net.now.wall);
      return r != nullptr && r->endpoints[0].address == a;
    })) << "a relay that is no guard was told the client's address";
  }
}

TEST(Records, HoldersMayDieAndTheReaderWaitsNoLongerThanAWave) {
  RecordsNet net(24);
  auto& alice = net.client("alice", "203.0.113.7");
  auto& bob = net.client("bob", "203.0.113.8");
  EXPECT_EQ(net.put(alice, "hello").kind, Kind::stored);
  size_t dead = 0;
  for (TestWorld::Host* h : net.holders()) {
    if (dead < 7 && !net.is_in_circuit(bob, *h)) h->dead = true, dead++;
  }
  ASSERT_EQ(dead, 7u);
  const Mono began = net.now.mono;
  const RecordOutcome got = net.get(bob);
  EXPECT_EQ(net.text(got), "hello");
  EXPECT_LE(net.now.mono - began, discovery::kDhtWave + 10ms);
  EXPECT_GE(net.now.mono - began, discovery::kDhtWave) << "who answers first may serve what is old";
}

TEST(Records, ThoseThatKeepAnOldOneDoNotHideTheNew) {
  RecordsNet net(18);
  auto& alice = net.client("alice", "203.0.113.7");
  auto& bob = net.client("bob", "203.0.113.8");
  EXPECT_EQ(net.put(alice, "old").kind, Kind::stored);
  std::vector<TestWorld::Host*> away;
  for (TestWorld::Host* h : net.holders()) {
    if (away.size() < 4 && !net.is_in_circuit(alice, *h)) away.push_back(h), h->dead = true;
  }
  net.run_for(2s);
  EXPECT_EQ(net.put(alice, "new").kind, Kind::stored);
  for (TestWorld::Host* h : away) h->dead = false;
  EXPECT_EQ(net.text(net.get(bob)), "new");
}

// A holder of two shards: what crosses between them is lost, and the test answers in its name.
TEST(Records, LiesOfHoldersAreNotBelieved) {
  std::set<int> all;
  for (int i = 0; i < 14; i++) all.insert(i);
  RecordsNet net(14, kNoon, all);
  net.steer = [](const TestWorld::Host&, const Endpoint&) { return 1; };
  auto& alice = net.client("alice", "203.0.113.7");
  EXPECT_EQ(net.put(alice, "true").kind, Kind::stored);
  EXPECT_GT(net.crossed[ShardNote::Kind::record], 0u);
  const auto record = [&](const crypto::SigningKey& key, const std::string& name, uint64_t seq) {
    const discovery::DhtSlot slot{static_cast<uint8_t>(DhtService::notes), key.pub, discovery::dht_name(net.network.id, name), discovery::dht_day(net.now.wall)};
    return discovery::sign_dht_record({slot, seq, net.now.wall + 1h, {'l', 'i', 'e'}}, net.network.id, key);
  };
  std::vector<std::vector<uint8_t>> lies{record(net.other, "a", UINT64_MAX), record(net.owner, "b", UINT64_MAX), record(net.owner, "a", UINT64_MAX), {1, 2, 3}};
  lies[2].back() ^= 1;
  size_t lied = 0;
  std::vector<std::pair<ShardNote, std::vector<uint8_t>>> to_tell;
  net.lose_crossing = [&](const ShardMessage& m) {
    if (m.note.kind != ShardNote::Kind::record || lied >= 6) return false;
    const Bytes asked = m.packet.bytes();  // type, number, key
    to_tell.push_back({m.note, discovery::encode_dht_found(load_le32(asked.data() + 1), lies[lied++ % lies.size()])});
    return true;
  };
  Result<RecordTicket> t = fail("");
  net.command_first(alice, [&](Node& n, Effects& fx) { t = n.get_record(net.now, {.owner = net.owner.pub, .name = "a"}, fx); });
  ASSERT_TRUE(t.ok());
  net.run_until([&] {
    for (const auto& [note, body] : std::exchange(to_tell, {})) {
      for (auto& [name, h] : net.hosts) {
        if (h->shards < 2 || !h->shard(1).tunnels().kind_of(note.session)) continue;
        const auto frame = routing::write_frame(routing::FrameType::dht_found, body);
        net.command(*h, [&](Node& n, Effects& fx) {
          if (&n == &h->shard(1)) n.send_frame(net.now, note.session, frame, fx);
        });
      }
    }
    return net.ended(alice, *t).has_value();
  }, 10s);
  EXPECT_EQ(lied, 6u);
  ASSERT_TRUE(net.ended(alice, *t));
  EXPECT_EQ(net.text(*net.ended(alice, *t)), "true");
}

TEST(Records, RelaysAskOverLinksOfTheirOwn) {
  RecordsNet net(16);
  auto& r3 = *net.hosts["r13"];
  const RecordOutcome put = net.put(r3, "from a relay");
  EXPECT_EQ(put.kind, Kind::stored);
  EXPECT_EQ(put.holders, discovery::kHolders) << "itself too, if it is one of them";
  EXPECT_EQ(net.text(net.get(*net.hosts["r14"])), "from a relay");
  EXPECT_EQ(net.text(net.get(r3)), "from a relay");
  net.check_all();
}

TEST(Records, ExpireWhereTheyAreKept) {
  RecordsNet net(14);
  auto& r3 = *net.hosts["r13"];
  EXPECT_EQ(net.put(r3, "short", "a", 60s).kind, Kind::stored);
  EXPECT_EQ(net.get(r3).kind, Kind::found);
  net.run_for(61s);
  EXPECT_EQ(net.get(r3).kind, Kind::none);
  net.run_for(11min);
  EXPECT_EQ(net.held(), 0u);
  EXPECT_EQ(r3.node->records()->kept(), 0u);
}

TEST(Records, WhoBecomesAHolderIsTold) {
  RecordsNet net(14);
  auto& r3 = *net.hosts["r13"];
  EXPECT_EQ(net.put(r3, "kept").kind, Kind::stored);
  for (int i = 14; i < 28; i++) net.relay(i);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(); }, 60s));
  net.run_for(discovery::kDhtMovesLooked + 10s);
  for (TestWorld::Host* h : net.holders()) EXPECT_EQ(h->node->records_kept()->size(), 1u) << h->name;
}

TEST(Records, AHolderThatWasAwayIsToldLater) {
  RecordsNet net(14);
  auto& r3 = *net.hosts["r13"];
  TestWorld::Host* away = net.holders()[net.holders()[0] == &r3 ? 1 : 0];
  away->dead = true;
  EXPECT_EQ(net.put(r3, "kept").holders, discovery::kHolders - 1);
  away->dead = false;
  net.run_for(discovery::kDhtMovesLooked + 10s);
  EXPECT_EQ(away->node->records_kept()->size(), 1u);
}

TEST(Records, AreFoundAfterMidnightThoughTheirOwnerHasGone) {
  RecordsNet net(14, kNoon + 10 * 3600 + 3000);  // 22:50
  EXPECT_EQ(net.put(*net.hosts["r13"], "of yesterday").kind, Kind::stored);
  net.hosts["r13"]->dead = true;
  net.now.wall += 75min;
  net.run_for(1s);
  EXPECT_EQ(net.text(net.get(*net.hosts["r14"])), "of yesterday");
}

TEST(Records, AreUnderTomorrowsKeyBeforeTheDayTurns) {
  RecordsNet net(12, kNoon + 11 * 3600 + 1800);  // 23:30
  EXPECT_EQ(net.put(*net.hosts["r13"], "of both days").kind, Kind::stored);
  net.run_for(5s);
  for (TestWorld::Host* h : net.holders()) EXPECT_EQ(h->node->records_kept()->size(), 2u) << h->name;
}

TEST(Records, WithoutRelaysOrACircuitThatIsSaid) {
  RecordsNet net(6);
  auto& lonely = net.add_client("lonely", "203.0.113.9", {});
  EXPECT_EQ(net.get(lonely).kind, Kind::no_relays) << "it has only just begun to look for some";
  ASSERT_TRUE(net.run_until([&] { return lonely.node->directory().relays().size() == 6; }, 30s));
  net.attach(lonely, TunId{1});
  for (auto& [name, h] : net.hosts) h->dead = h->config.relay.has_value();
  net.run_for(5min);
  for (const RecordOutcome& o : {net.get(lonely), net.put(lonely, "in vain")}) EXPECT_TRUE(o.kind == Kind::no_circuit || o.kind == Kind::nobody);
  EXPECT_EQ(lonely.node->records()->kept(), 0u) << "it was said to have failed";
}

TEST(Records, ACircuitIsWaitedFor) {
  RecordsNet net(14);
  auto& c = net.add_client("c", "203.0.113.9", {});
  ASSERT_TRUE(net.run_until([&] { return c.node->directory().relays().size() == 14; }, 30s));
  net.attach(c, TunId{1});
  EXPECT_EQ(net.put(c, "soon").kind, Kind::stored);
}

TEST(Records, WordsAreChecked) {
  RecordsNet net(2);
  auto& r = *net.hosts["r10"];
  const auto why = [&](const RecordPut& p) {
    const auto t = net.try_put(r, p);
    return t.ok() ? std::string("ok") : t.error().message;
  };
  EXPECT_EQ(why({.name = "a", .value = std::vector<uint8_t>(discovery::kMaxDhtValue + 1), .owner = net.owner}), "too long: 868 bytes at most, this has 869");
  EXPECT_EQ(why({.name = "a", .value = std::vector<uint8_t>(discovery::kMaxDhtValue), .owner = net.owner}), "ok");
  EXPECT_NE(why({.name = "", .owner = net.owner}), "ok");
  EXPECT_NE(why({.name = std::string(256, 'x'), .owner = net.owner}), "ok");
  EXPECT_NE(why({.name = "a", .owner = net.owner, .life = 25h}), "ok");
  EXPECT_NE(why({.name = "a", .owner = net.owner, .life = 0s}), "ok");
}

TEST(Records, QuestionsOfOursAreBounded) {
  RecordsNet net(4);
  auto& c = net.add_client("c", "203.0.113.9", {});
  ASSERT_TRUE(net.run_until([&] { return c.node->directory().relays().size() == 4; }, 30s));
  for (auto& [name, h] : net.hosts) h->dead = h->config.relay.has_value();
  size_t taken = 0;
  net.command_first(c, [&](Node& n, Effects& fx) {
    for (int i = 0; i < 100; i++) taken += n.get_record(net.now, {.owner = net.owner.pub, .name = "a"}, fx).ok();
  });
  EXPECT_LE(taken, RecordAsker::kMaxWaiting + RecordAsker::kMaxRunning);
  EXPECT_GE(taken, RecordAsker::kMaxWaiting);
  EXPECT_FALSE(net.try_put(c, {.name = "a", .owner = net.owner}).ok()) << "they share the queue";
  auto& r = *net.hosts["r10"];
  r.dead = false;
  std::string why;
  for (size_t i = 0; i <= discovery::kMaxDhtKept && why.empty(); i++) {
    const auto t = net.try_put(r, {.name = std::to_string(i), .owner = net.owner});
    if (!t.ok()) why = t.error().message;
    net.run_for(7s);
  }
  EXPECT_TRUE(why.starts_with("this key has 64 records")) << why;
  why.clear();
  for (size_t i = 0; i < RecordAsker::kMaxOwners && why.empty(); i++) {
    const auto t = net.try_put(r, {.name = "a", .owner = crypto::ed25519_generate(net.own)});
    if (!t.ok()) why = t.error().message;
    net.run_for(7s);
  }
  EXPECT_TRUE(why.starts_with("records of 8 keys")) << why;
  net.check_all();
}

TEST(Records, TwoQuestionsAreAskedAtOnceAndTheOthersAfterThem) {
  RecordsNet net(14);
  auto& r = *net.hosts["r13"];
  const size_t neighbours = r.node->links().size();
  std::vector<RecordTicket> tickets;
  net.command_first(r, [&](Node& n, Effects& fx) {
    for (int i = 0; i < 6; i++) tickets.push_back(*n.get_record(net.now, {.owner = net.owner.pub, .name = std::to_string(i)}, fx));
  });
  EXPECT_LE(r.node->links().size(), neighbours + 2 * discovery::kHolders);
  EXPECT_EQ(r.node->records()->progress(tickets[0])->phase, RecordProgress::Phase::asking);
  EXPECT_EQ(r.node->records()->progress(tickets[5])->phase, RecordProgress::Phase::waiting);
  net.command_first(r, [&](Node& n, Effects& fx) { n.forget_question(net.now, tickets[1], fx); });
  EXPECT_FALSE(r.node->records()->progress(tickets[1]));
  for (const RecordTicket t : {tickets[0], tickets[5]}) {
    EXPECT_TRUE(net.run_until([&] { return net.ended(r, t).has_value(); }, 10s));
  }
  EXPECT_FALSE(net.ended(r, tickets[1])) << "nobody waits for it";
  net.check_all();
}

// ---- what callers may ask of a holder

struct Callers : RecordsNet {
  Callers() : RecordsNet(14) {}
  PeerRef call(Host& from, Host& to) {
    std::optional<PeerRef> made;
    command_first(from, [&](Node& n, Effects&) { made = n.links().open(now, contact(to), LinkUse::records); });
    EXPECT_TRUE(made && run_until([&] { return from.node->links().is_up(*made); }, 5s));
    // A session of which nothing is heard is soon forgotten.
    send_frame(from, *made, routing::write_ping(routing::FrameType::ping, {1, 0}));
    run_for(50ms);
    return *made;
  }
  void say(Host& from, PeerRef to, routing::FrameType type, Bytes body) {
    send_frame(from, to, routing::write_frame(type, body));
  }
  uint64_t gets(const Host& h) const { return h.node->records_kept()->counts().found + h.node->records_kept()->counts().missing; }
  uint64_t puts(const Host& h) const {
    const auto& c = h.node->records_kept()->counts();
    return c.stored + c.older + c.bad + c.not_ours + c.full;
  }
};

TEST(RecordHolder, ACallerAsksAtItsRateAndOthersAtTheirs) {
  Callers net;
  auto &a = *net.hosts["r10"], &b = *net.hosts["r11"], &c = *net.hosts["r12"];
  const PeerRef link = net.call(a, b);
  for (uint32_t i = 0; i < 400; i++) net.say(a, link, routing::FrameType::dht_get, discovery::encode_dht_get(i, {}));
  for (uint32_t i = 0; i < 200; i++) net.say(a, link, routing::FrameType::dht_put, discovery::encode_dht_put(i, std::vector<uint8_t>(200)));
  net.run_for(100ms);
  EXPECT_EQ(net.gets(b), RecordHolder::kGetsOfCaller.burst + 0u);
  EXPECT_EQ(net.puts(b), RecordHolder::kPutsOfCaller.burst + 0u);
  EXPECT_EQ(b.node->records_kept()->refused(), 600u - RecordHolder::kGetsOfCaller.burst - RecordHolder::kPutsOfCaller.burst);
  net.say(c, net.call(c, b), routing::FrameType::dht_get, discovery::encode_dht_get(1, {}));
  net.run_for(100ms);
  EXPECT_EQ(net.gets(b), RecordHolder::kGetsOfCaller.burst + 1u);
}

TEST(RecordHolder, AllCallersTogetherHaveARate) {
  Callers net;
  auto& b = *net.hosts["r11"];
  std::vector<std::pair<TestWorld::Host*, PeerRef>> links;
  for (auto& [name, h] : net.hosts) {
    if (h.get() != &b) links.push_back({h.get(), net.call(*h, b)});
  }
  net.run_for(10s);
  for (auto& [h, link] : links) {
    for (uint32_t i = 0; i < 90; i++) net.say(*h, link, routing::FrameType::dht_put, discovery::encode_dht_put(i, std::vector<uint8_t>(200)));
    for (uint32_t i = 0; i < 250; i++) net.say(*h, link, routing::FrameType::dht_get, discovery::encode_dht_get(i, {}));
  }
  net.run_for(100ms);
  EXPECT_GE(net.puts(b), RecordHolder::kPutsInAll.burst);
  EXPECT_LE(net.puts(b), RecordHolder::kPutsInAll.burst + RecordHolder::kPutsInAll.per_second);
  EXPECT_GE(net.gets(b), RecordHolder::kGetsInAll.burst);
  EXPECT_LE(net.gets(b), RecordHolder::kGetsInAll.burst + RecordHolder::kGetsInAll.per_second);
}

TEST(RecordHolder, WhatIsFoundCountsAgainstWhatTheOperatorLends) {
  Callers net;
  auto &a = *net.hosts["r10"], &b = *net.hosts["r11"];
  b.config.relay->cap = {10'000};
  net.restart(b);
  net.announce(b);
  net.run_for(5s);
  RecordOutcome put;
  std::string name;
  for (int i = 0; i < 20 && b.node->records_kept()->size() == 0; i++) put = net.put(a, std::string(discovery::kMaxDhtValue, 'x'), name = std::to_string(i));
  ASSERT_EQ(b.node->records_kept()->size(), 1u);
  const discovery::DhtSlot slot{static_cast<uint8_t>(DhtService::notes), net.owner.pub, discovery::dht_name(net.network.id, name), discovery::dht_day(net.now.wall)};
  const PeerRef link = net.call(a, b);
  uint64_t bytes = 0;
  net.sends = [&](const TestWorld::Host& h, const Datagram& d) { bytes += &h == &b && d.remote.address == a.address ? d.packet.size() : 0; };
  for (uint32_t i = 0; i < 200; i++) net.say(a, link, routing::FrameType::dht_get, discovery::encode_dht_get(i, discovery::dht_key(net.network.id, slot)));
  net.run_for(100ms);
  EXPECT_GT(bytes, 10'000u);
  EXPECT_LT(bytes, peers::Resources::kLeastBurst + 5'000u);
}

TEST(RecordHolder, WhatIsNoRequestIsNotAnswered) {
  Callers net;
  auto &a = *net.hosts["r10"], &b = *net.hosts["r11"];
  const PeerRef link = net.call(a, b);
  net.run_for(1s);
  uint64_t out = 0;
  net.sends = [&](const TestWorld::Host& h, const Datagram& d) { out += &h == &b && d.remote.address == a.address; };
  for (size_t n = 0; n < 8; n++) {
    net.say(a, link, routing::FrameType::dht_put, std::vector<uint8_t>(n % 4));
    net.say(a, link, routing::FrameType::dht_get, std::vector<uint8_t>(n));
    net.say(a, link, routing::FrameType::dht_stored, std::vector<uint8_t>(5));
    net.say(a, link, routing::FrameType::dht_found, std::vector<uint8_t>(4));
  }
  net.run_for(100ms);
  EXPECT_EQ(out, 0u);
  EXPECT_GE(b.node->records_kept()->counts().malformed, 16u);
}

TEST(RecordHolder, OneThatHasEndedSaysNothing) {
  Callers net;
  auto &a = *net.hosts["r10"], &b = *net.hosts["r11"];
  const PeerRef link = net.call(a, b);
  net.say(a, link, routing::FrameType::dht_get, discovery::encode_dht_get(1, {}));
  net.run_for(1s);
  EXPECT_EQ(net.gets(b), 1u);
  net.command(b, [&](Node& n, Effects& fx) { n.set_service(net.now, peers::Service::closed, fx); });
  net.say(a, link, routing::FrameType::dht_get, discovery::encode_dht_get(2, {}));
  net.run_for(1s);
  EXPECT_EQ(net.gets(b), 1u);
}

}  // namespace
}  // namespace macrovpn::node
