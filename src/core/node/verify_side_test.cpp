// Relays that call relays: whole nodes with a live directory.
#include <gtest/gtest.h>

#include "core/node/node_world_test.h"

namespace macrovpn::node {
namespace {

// Relays r0, r1 …, each in a /16 of its own.
struct CallingNet : TestWorld {
  explicit CallingNet(int relays, uint64_t seed = 1, unsigned of_a_prefix = 2, size_t shards = 1) : TestWorld(seed), shards_each(shards) {
    network.max_per_v4_24 = of_a_prefix;
    live = DirectoryConfig{};
    for (int i = 0; i < relays; i++) relay(i);
  }
  Host& relay(int i) {
    Host& h = add_relay("r" + std::to_string(i), "20." + std::to_string(i) + ".0.1", i % 2 == 1, shards_each);
    if (live->contacts.empty()) live->contacts.push_back(contact(h));
    run_for(10ms);
    announce(h);
    return h;
  }
  PeerId id_of(const Host& h) const { return discovery::peer_id_of(h.config.identity->pub); }
  bool knows(const Host& h, const PeerId& id) const { return h.node->live_directory()->set().find(discovery::short_id_of(id)) != nullptr; }
  bool all_know(const PeerId& id) const {
    return std::all_of(hosts.begin(), hosts.end(), [&](const auto& h) { return knows(*h.second, id); });
  }
  bool nobody_knows(const PeerId& id) const {
    return std::none_of(hosts.begin(), hosts.end(), [&](const auto& h) { return knows(*h.second, id); });
  }
  // Handshakes of others do not reach it; what it asked for does.
  void firewall(const IpAddress& at) {
    drop = [this, at](const TestWorld::Flight& f) {
      if (f.to->address != at) return false;
      std::vector<uint8_t> d(f.bytes.begin(), f.bytes.end() - 1);
      return encryption::MaskKey(network.id.bytes, f.to->config.wireguard.pub).unmask(d) && d[0] == 1;
    };
  }
  VerifyCounters sum() const {
    VerifyCounters all;
    for (const auto& [name, h] : hosts) {
      const VerifyCounters& c = h->node->verify()->counters();
      all.called += c.called, all.reached += c.reached, all.asked += c.asked, all.served += c.served, all.refused += c.refused, all.held += c.held,
          all.dropped += c.dropped;
    }
    return all;
  }
  // A descriptor with an identity of its own, whatever else it says.
  struct Invented {
    crypto::SigningKey key;
    discovery::EntryPtr entry;
  };
  Invented invent(const Endpoint& at, const PublicKey& wireguard, uint64_t rank_below = UINT64_MAX) {
    while (true) {
      Invented out{crypto::ed25519_generate(rng), nullptr};
      RelayInfo r;
      r.wireguard = wireguard;
      r.endpoints = {at};
      r.flags.set(RelayFlag::middle);
      r.created = now.wall - std::chrono::hours(24 * 30);
      const auto bytes = discovery::sign_descriptor(r, network.id, out.key, now.wall);
      out.entry = discovery::make_entry(*discovery::open_descriptor(bytes, network.id), network);
      if (out.entry->rank < rank_below) return out;
    }
  }
  void hand_on(Host& by, const discovery::EntryPtr& e) {
    command(by, [&](Node& n, Effects& fx) { n.publish(now, e, fx); });
  }
  size_t shards_each;
  SeededRng rng{77};
};

TEST(VerifySide, ANewRelayIsCalledByWhomItToldAndByTwoStrangers) {
  CallingNet net(6);
  net.run_for(1min);
  const VerifyCounters before = net.sum();
  auto& newcomer = net.relay(7);
  ASSERT_TRUE(net.run_until([&] { return net.all_know(net.id_of(newcomer)); }, 20s));
  const VerifyCounters after = net.sum();
  EXPECT_GE(after.called, before.called + 1);
  EXPECT_GE(after.asked, before.asked + 2);
  EXPECT_GE(after.served, before.served + 2);
  EXPECT_LE(after.refused, before.refused + 2) << "who is asked by several at once may be busy; the others are not";
}

TEST(VerifySide, ARelayThatTakesNoCallsIsHandedOnByNobody) {
  CallingNet net(6);
  net.run_for(1min);
  net.firewall(*IpAddress::parse("20.7.0.1"));
  auto& newcomer = net.relay(7);
  net.run_for(2min);
  size_t known = 0;
  for (const auto& [name, h] : net.hosts) known += name != "r7" && net.knows(*h, net.id_of(newcomer));
  EXPECT_EQ(known, 0u);
  EXPECT_GT(net.sum().held, 0u);
}

// What a caller says comes to the shard that its address and port say; the directory and its gate are at the first.
TEST(VerifySide, ANewRelayIsCalledWhicheverShardItSpeaksTo) {
  for (const size_t shard : {0, 1}) {
    CallingNet net(6, 1, 2, 2);
    net.steer = [&](const TestWorld::Host&, const Endpoint&) { return shard; };
    net.run_for(1min);
    const VerifyCounters before = net.sum();
    auto& newcomer = net.relay(7);
    ASSERT_TRUE(net.run_until([&] { return net.all_know(net.id_of(newcomer)); }, 20s)) << shard;
    const VerifyCounters after = net.sum();
    EXPECT_GE(after.held, before.held + 1) << shard;
    EXPECT_GE(after.served, before.served + 2) << shard;
    EXPECT_EQ(net.crossed[ShardNote::Kind::dial] > 0, shard == 1);
  }
}

TEST(VerifySide, ARelayThatTakesNoCallsIsHandedOnByNobodyWhicheverShardItSpeaksTo) {
  for (const size_t shard : {0, 1}) {
    CallingNet net(6, 1, 2, 2);
    net.steer = [&](const TestWorld::Host&, const Endpoint&) { return shard; };
    net.run_for(1min);
    net.firewall(*IpAddress::parse("20.7.0.1"));
    auto& newcomer = net.relay(7);
    net.run_for(2min);
    size_t known = 0;
    for (const auto& [name, h] : net.hosts) known += name != "r7" && net.knows(*h, net.id_of(newcomer));
    EXPECT_EQ(known, 0u) << shard;
    EXPECT_GT(net.sum().held, 0u) << shard;
  }
}

// A session that ended gets no answer, at another shard too; and who asks for calls there has the same budget.
TEST(VerifySide, CallsForOthersAreBoundedWhicheverShardIsAsked) {
  CallingNet net(3, 1, 2, 2);
  net.steer = [](const TestWorld::Host&, const Endpoint&) -> size_t { return 1; };
  net.run_for(1min);
  auto& asked = *net.hosts["r0"];
  auto& r1 = *net.hosts["r1"];
  PeerRef link{};
  net.command(r1, [&](Node& n, Effects&) {
    if (n.live_directory()) link = *n.links().open(net.now, net.contact(asked), LinkUse::verification);
  });
  net.run_for(1s);
  const auto victim = net.invent({*IpAddress::parse("20.200.0.1"), 51820}, crypto::x25519_generate(net.rng).pub);
  const uint64_t refused = asked.node->verify()->counters().refused;
  for (uint64_t i = 0; i < 100; i++) {
    net.command(r1, [&](Node& n, Effects&) {
      if (n.live_directory()) n.links().send(net.now, link, routing::write_dial({i, victim.entry->descriptor.bytes}));
    });
    net.run_for(10ms);
  }
  EXPECT_GT(asked.node->verify()->counters().refused, refused + 80);
  EXPECT_GT(net.crossed[ShardNote::Kind::frame], 80u) << "each refusal is an answer";
  for (auto& [name, h] : net.hosts) h->node->check_invariants();
}

// A squatter with a better rank holds the one place of the /24 in which r7 will live: with an address and a key that he invented, or with
// r7's own address and its WireGuard key.
TEST(VerifySide, ASquatterOfAPrefixLosesItToWhoAnswersThere) {
  for (const bool with_its_key : {false, true}) {
    CallingNet net(5, 1, 1);
    net.run_for(1min);
    auto& r7 = net.add_relay("r7", "20.7.0.1", true);
    net.run_for(10ms);
    const auto squatter = with_its_key ? net.invent({r7.address, 51820}, r7.config.wireguard.pub, UINT64_MAX / 16)
                                       : net.invent({*IpAddress::parse("20.7.0.9"), 51820}, crypto::x25519_generate(net.rng).pub, UINT64_MAX / 16);
    net.hand_on(*net.hosts["r1"], squatter.entry);
    ASSERT_TRUE(net.run_until([&] {
      return std::all_of(net.hosts.begin(), net.hosts.end(), [&](const auto& h) { return h.first == "r7" || net.knows(*h.second, squatter.entry->id); });
    }, 3min)) << "where there is room a claim is taken";
    net.announce(r7);
    EXPECT_FALSE(net.run_until([&] { return net.all_know(net.id_of(r7)); }, 5min)) << "who lives there has his time";
    EXPECT_TRUE(net.run_until([&] { return net.all_know(net.id_of(r7)); }, 2h)) << with_its_key;
    EXPECT_TRUE(net.nobody_knows(squatter.entry->id));
    EXPECT_GT(net.sum().dropped, 0u);
  }
}

// Whoever asks for calls gets few, and the called address still fewer.
TEST(VerifySide, CallsForOthersAreBounded) {
  CallingNet net(3);
  net.run_for(1min);
  auto& asked = *net.hosts["r0"];
  const auto victim = net.invent({*IpAddress::parse("20.200.0.1"), 51820}, crypto::x25519_generate(net.rng).pub);
  uint64_t calls = 0;
  net.sends = [&](const TestWorld::Host& from, const Datagram& d) { calls += &from == &asked && d.remote.address == victim.entry->home; };
  auto& r1 = *net.hosts["r1"];
  PeerRef link{};
  net.command(r1, [&](Node& n, Effects&) { link = *n.links().open(net.now, net.contact(asked), LinkUse::verification); });
  net.run_for(1s);
  for (uint64_t i = 0; i < 300; i++) {
    net.command(r1, [&](Node& n, Effects&) { n.links().send(net.now, link, routing::write_dial({i, victim.entry->descriptor.bytes})); });
    net.run_for(10ms);
  }
  net.run_for(10s);
  EXPECT_GT(calls, 0u);
  EXPECT_LE(calls, 60u) << "300 questions in 3 s";
  EXPECT_GT(asked.node->verify()->counters().refused, 200u);
}

// Many who each keep to their own budget.
struct ManyAskers : CallingNet {
  explicit ManyAskers(int relays, int callers) : CallingNet(relays), asked(*hosts["r0"]) {
    run_for(1min);
    for (int i = 1; i <= callers; i++) {
      Host& h = *hosts["r" + std::to_string(i)];
      PeerRef way{};
      command(h, [&](Node& n, Effects&) { way = *n.links().open(now, contact(asked), LinkUse::verification); });
      askers.emplace_back(&h, way);
    }
    run_for(1s);
    served = counters().served;
  }
  void ask(size_t who, uint64_t number, const discovery::EntryPtr& about) {
    command(*askers[who].first, [&](Node& n, Effects&) { n.links().send(now, askers[who].second, routing::write_dial({number, about->descriptor.bytes})); });
  }
  const VerifyCounters& counters() const { return asked.node->verify()->counters(); }
  Host& asked;
  std::vector<std::pair<Host*, PeerRef>> askers;
  uint64_t served = 0;
};

TEST(VerifySide, CallsToOneAddressAreBoundedHoweverManyAsk) {
  ManyAskers net(9, 8);
  const auto victim = net.invent({*IpAddress::parse("20.200.0.1"), 51820}, crypto::x25519_generate(net.rng).pub);
  for (uint64_t i = 0; i < 80; i++) net.ask(i % 8, i, victim.entry);
  net.run_for(900ms);
  EXPECT_EQ(net.counters().served - net.served, VerifySide::kOfAddress.burst);
}

TEST(VerifySide, CallsUnderWayAreBoundedHoweverManyAsk) {
  ManyAskers net(9, 8);
  for (uint64_t i = 0; i < 80; i++) {
    const auto silent = net.invent({*IpAddress::parse("20." + std::to_string(100 + i) + ".0.1"), 51820}, crypto::x25519_generate(net.rng).pub);
    net.ask(i % 8, i, silent.entry);
    net.run_for(1ms);
  }
  net.run_for(900ms);
  EXPECT_GT(net.counters().served - net.served, VerifySide::kMaxDials / 2);
  EXPECT_LE(net.counters().served - net.served, VerifySide::kMaxDials);
  net.asked.node->check_invariants();
}

TEST(VerifySide, CallsForAllTogetherAreBounded) {
  ManyAskers net(25, 24);
  std::vector<discovery::EntryPtr> live;
  for (int i = 1; i < 25; i++) {
    const auto e = net.asked.node->live_directory()->set().find(discovery::short_id_of(net.id_of(*net.hosts["r" + std::to_string(i)])));
    ASSERT_TRUE(e);
    live.push_back(e);
  }
  const Mono begin = net.now.mono;
  for (uint64_t i = 0; i < 288; i++) {
    net.ask(i % 24, i, live[(i + i / 24) % 24]);
    net.run_for(10ms);
  }
  net.run_for(100ms);
  const auto s = static_cast<uint64_t>((net.now.mono - begin) / 1s);
  const uint64_t tried = net.counters().served - net.served;
  EXPECT_LE(tried, VerifySide::kInAll.burst + VerifySide::kInAll.per_second * (s + 1));
  EXPECT_GT(tried, VerifySide::kInAll.burst);
}

TEST(VerifySide, NobodyIsCalledAtAnAddressOfALan) {
  CallingNet net(3);
  net.run_for(1min);
  auto& asked = *net.hosts["r0"];
  uint64_t calls = 0;
  net.sends = [&](const TestWorld::Host& from, const Datagram& d) { calls += &from == &asked && d.remote.address.bytes()[0] == 192; };
  const auto lan = net.invent({*IpAddress::parse("192.168.1.1"), 51820}, crypto::x25519_generate(net.rng).pub);
  auto& r1 = *net.hosts["r1"];
  PeerRef link{};
  net.command(r1, [&](Node& n, Effects&) { link = *n.links().open(net.now, net.contact(asked), LinkUse::verification); });
  net.run_for(1s);
  net.command(r1, [&](Node& n, Effects&) { n.links().send(net.now, link, routing::write_dial({1, lan.entry->descriptor.bytes})); });
  net.run_for(10s);
  EXPECT_EQ(calls, 0u);
  EXPECT_EQ(asked.node->verify()->counters().refused, 1u);
}

// A relay behind a NAT that speaks to all others from its listening port all the time.
struct AboutUs : CallingNet {
  explicit AboutUs(bool port_open) : CallingNet(5), us(*hosts["r4"]) {
    run_for(1min);
    us.nat = Host::Nat::cone;
    us.port_open = port_open;
    us.introducers = {"r0"};
    run_for(1min);
  }
  discovery::EntryPtr own(const PublicKey& wireguard, const std::string& at) {
    RelayInfo r;
    r.wireguard = wireguard;
    r.endpoints = {*Endpoint::parse(at)};
    r.created = now.wall - std::chrono::hours(24 * 30);
    const auto bytes = discovery::sign_descriptor(r, network.id, *us.config.identity, now.wall);
    return discovery::make_entry(*discovery::open_descriptor(bytes, network.id), network);
  }
  bool ask(const discovery::EntryPtr& e) {
    bool asked = false;
    command(us, [&](Node& n, Effects& fx) { asked = n.ask_about_us(now, e, fx); });
    return asked;
  }
  std::optional<OwnReach> told() const {
    std::optional<OwnReach> out;
    for (const NodeEvent& e : us.events) {
      if (const auto* r = std::get_if<OwnReach>(&e)) out = *r;
    }
    return out;
  }
  Host& us;
};

TEST(VerifySide, TellsARelayWhetherItsPortIsOpenThoughItHasSpokenToAllWhoTry) {
  for (const bool port_open : {true, false}) {
    AboutUs net(port_open);
    ASSERT_TRUE(net.ask(net.own(net.us.config.wireguard.pub, "20.4.0.1:51820")));
    EXPECT_FALSE(net.ask(net.own(net.us.config.wireguard.pub, "20.4.0.1:51820"))) << "one question at a time";
    ASSERT_TRUE(net.run_until([&] { return net.told().has_value(); }, VerifySide::kAboutUsTime));
    EXPECT_EQ(net.told()->yes, port_open ? VerifySide::kAskedAboutUs : 0u);
    EXPECT_EQ(net.told()->no, port_open ? 0u : VerifySide::kAskedAboutUs);
    for (auto& [name, h] : net.hosts) h->node->check_invariants();
  }
}

TEST(VerifySide, NobodyAnswersForUsWithAnotherKey) {
  AboutUs net(true);
  ASSERT_TRUE(net.ask(net.own(crypto::x25519_generate(net.rng).pub, "20.4.0.1:51820")));
  ASSERT_TRUE(net.run_until([&] { return net.told().has_value(); }, VerifySide::kAboutUsTime));
  EXPECT_EQ(net.told()->yes, 0u);
}

TEST(VerifySide, WhoDoesNotAnswerSaysNothing) {
  AboutUs net(true);
  for (auto& [name, h] : net.hosts) h->dead = name != "r4";
  ASSERT_TRUE(net.ask(net.own(net.us.config.wireguard.pub, "20.4.0.1:51820")));
  ASSERT_TRUE(net.run_until([&] { return net.told().has_value(); }, VerifySide::kAboutUsTime + 1s));
  EXPECT_EQ(net.told()->yes + net.told()->no, 0u);
  EXPECT_TRUE(net.ask(net.own(net.us.config.wireguard.pub, "20.4.0.1:51820"))) << "and it may be asked again";
}

}  // namespace
}  // namespace macrovpn::node
