// Relays that measure each other: whole nodes with a live directory, on lines of a certain width.
#include <gtest/gtest.h>

#include "core/node/node_world_test.h"

namespace macrovpn::node {
namespace {

constexpr uint64_t kRate = 40'960;  // bytes per second that all claim and that most carry; claims are rounded to such
constexpr Duration kWeek = 20min;

// Relays r0, r1 …, each in a /16 of its own.
struct MeasuringNet : TestWorld {
  explicit MeasuringNet(int relays, uint64_t seed = 1) : TestWorld(seed) {
    now.wall = Wall(kWeek * (now.wall.time_since_epoch() / kWeek + 1));  // a week begins
    live = DirectoryConfig{};
    live->measuring = DirectoryConfig::Measuring::on;
    live->measure_week = kWeek;
    drop = [this](const Flight& f) { return is_full(f.from, f.bytes.size(), true) || is_full(f.to, f.bytes.size(), false); };
    for (int i = 0; i < relays; i++) relay(i);
  }
  Host& relay(int i, uint64_t claim = kRate, size_t shards = 1) {
    Host& h = add_relay("r" + std::to_string(i), "20." + std::to_string(i) + ".0.1", i % 2 == 1, shards);
    h.claim = {claim};
    if (live->contacts.empty()) live->contacts.push_back(contact(h));
    run_for(10ms);
    announce(h);
    return h;
  }
  Host& named(int i) { return *hosts["r" + std::to_string(i)]; }
  PeerId id_of(const Host& h) const { return discovery::peer_id_of(h.config.identity->pub); }
  discovery::ShortId short_id(const Host& h) const { return discovery::short_id_of(id_of(h)); }
  // Each publishes what it found, and all hear of it.
  void publish_results() {
    for (auto& [name, h] : hosts) {
      if (h->dead) continue;
      announce(*h);
      run_for(1s);
    }
    run_for(30s);
    for (auto& [name, h] : hosts) command(*h, [&](Node& n, Effects&) { if (n.live_directory()) n.live_directory()->judge(now); });
  }
  void measure() {
    run_for(kWeek * 9 / 10 - (now.wall.time_since_epoch() % kWeek));
    publish_results();
  }
  const discovery::BandwidthBook& book(const Host& h) const { return h.node->live_directory()->bandwidths().book(); }
  uint64_t counted(const Host& by, const Host& of) const { return by.node->directory().find(id_of(of), now.wall)->bandwidth.bytes_per_second; }
  bool all_agree() const {
    return std::all_of(hosts.begin(), hosts.end(), [&](const auto& h) { return book(*h.second) == book(*hosts.at("r0")); });
  }
  // Lines: a bucket of 200 ms each way.
  bool is_full(Host* h, size_t bytes, bool out) {
    const auto it = width.find(h->name);
    if (it == width.end()) return false;
    Mono& full = used_until[{h->name, out}];
    const Mono base = std::max(full, now.mono);
    if (base - now.mono > 200ms) return true;
    full = base + std::chrono::nanoseconds(bytes * 1'000'000'000 / it->second);
    return false;
  }
  std::map<std::string, uint64_t> width;  // bytes per second
  std::map<std::pair<std::string, bool>, Mono> used_until;
};

TEST(MeasureSide, RelaysMeasureEachOtherAndAgree) {
  MeasuringNet net(6);
  net.measure();
  uint64_t measured = 0;
  for (auto& [name, h] : net.hosts) {
    h->node->check_invariants();
    measured += h->node->measure()->counters().measured;
    EXPECT_EQ(h->node->measure()->results().size(), 5u) << name;
    EXPECT_TRUE(net.book(*net.hosts["r0"]).is_measured(net.short_id(*h))) << name;
    EXPECT_GE(net.counted(*net.hosts["r0"], *h), kRate * 9 / 10) << name;
    EXPECT_EQ(h->node->links().size() > 12, false);
  }
  EXPECT_EQ(measured, 30u);
  EXPECT_TRUE(net.all_agree());
}

// Claims eightfold; its line carries what the others' do.
struct LiarNet : MeasuringNet {
  LiarNet() : MeasuringNet(7), liar(relay(7, 8 * kRate)) {
    width["r7"] = kRate / 2;
    for (auto& [name, h] : hosts) {
      if (name != "r7") width[name] = 4 * kRate;
    }
  }
  double gain() { return static_cast<double>(counted(named(0), liar)) / static_cast<double>(width["r7"]); }
  Host& liar;
};

TEST(MeasureSide, WhoClaimsEightfoldIsMeasured) {
  LiarNet net;
  ASSERT_TRUE(net.run_until([&] { return net.named(0).node->directory().find(net.id_of(net.liar), net.now.wall) != nullptr; }, 30s));
  EXPECT_GE(net.counted(net.named(0), net.liar), 8 * kRate) << "before anybody has measured";
  net.measure();
  EXPECT_TRUE(net.book(net.named(0)).is_measured(net.short_id(net.liar)));
  EXPECT_LE(net.gain(), 1.0);
  EXPECT_GE(net.gain(), 0.6);
  EXPECT_TRUE(net.all_agree());
}

TEST(MeasureSide, WhoReportsMuchBackgroundBesideGainsAThirdAtMost) {
  LiarNet net;
  double best = 0;
  const Mono end = net.now.mono + kWeek * 9 / 10;
  PeerRef told{};
  while (net.now.mono < end) {
    net.run_until([&] { return net.liar.node->measure()->measured_by().value_or(told) != told; }, end - net.now.mono);
    const auto by = net.liar.node->measure()->measured_by();
    if (!by || *by == told) continue;
    told = *by;
    for (int i = 0; i < 40; i++) {  // its line is full
      net.run_for(100ms);
      net.send_frame(net.liar, told, routing::write_measure_ok({routing::MeasureOkFrame::Kind::over, UINT64_MAX / 2}));
    }
  }
  net.publish_results();
  best = net.gain();
  EXPECT_TRUE(net.book(net.named(0)).is_measured(net.short_id(net.liar)));
  EXPECT_LE(best, 1.34);
  EXPECT_GE(best, 1.2) << "else it was not tried";
}

TEST(MeasureSide, WhoRefusesCountsAsTheLowerQuartileAtMost) {
  MeasuringNet net(7);
  net.live->measuring = DirectoryConfig::Measuring::off;
  auto& liar = net.relay(7, 8 * kRate);
  net.measure();
  net.run_for(kWeek / 2);
  net.measure();
  const auto& book = net.book(net.named(0));
  EXPECT_FALSE(book.is_measured(net.short_id(liar)));
  ASSERT_TRUE(book.bound);
  EXPECT_LE(book.bound->bytes_per_second, kRate);
  EXPECT_EQ(net.counted(net.named(0), liar), book.bound->bytes_per_second);
  size_t refused = 0;
  for (int i = 0; i < 7; i++) refused += net.named(i).node->measure()->counters().refused;
  EXPECT_GE(refused, 5u);
}

TEST(MeasureSide, WhatAnOperatorDoesNotLendIsNotMeasured) {
  MeasuringNet net(6);
  auto& r5 = net.named(5);
  r5.config.relay->cap = {kRate / 2};
  net.restart(r5);
  net.announce(r5);
  net.measure();
  EXPECT_TRUE(net.book(net.named(0)).is_measured(net.short_id(r5)));
  EXPECT_LE(net.counted(net.named(0), r5), kRate * 6 / 10) << "it claims twice that";
}

TEST(MeasureSide, ClientsGoByWhatWasMeasured) {
  LiarNet net;
  net.measure();
  auto& c = net.add_client("client", "203.0.113.7", {});
  ASSERT_TRUE(net.run_until([&] { return c.node->directory().relays().size() == 8; }, 60s));
  EXPECT_EQ(net.counted(c, net.liar), net.counted(net.named(0), net.liar));
  EXPECT_LE(net.counted(c, net.liar), net.width["r7"]);
}

TEST(MeasureSide, OneAtATimeOnEachSide) {
  MeasuringNet net(8);
  const Mono end = net.now.mono + kWeek * 8 / 10;
  std::map<std::string, std::set<IpAddress>> with;  // whom each sends much to, in a second
  std::map<std::pair<std::string, IpAddress>, int> sent;
  net.sends = [&](const TestWorld::Host& h, const Datagram& d) {
    if (d.packet.size() > 1000 && d.packet.size() < 1200 && ++sent[{h.name, d.remote.address}] >= 10) with[h.name].insert(d.remote.address);
  };
  size_t busy = 0;
  while (net.now.mono < end) {
    sent.clear(), with.clear();
    net.run_for(500ms);
    for (const auto& [name, h] : net.hosts) h->node->check_invariants();
    for (const auto& [name, others] : with) EXPECT_LE(others.size(), 1u) << name;
    busy += with.size() >= 4;
  }
  EXPECT_GT(busy, 10u) << "else there was nothing to bound";
}

// Silence of one is his; silence of most is ours.
TEST(MeasureSide, ARelayWhoseOwnLineIsDownAccusesNobody) {
  MeasuringNet net(7);
  net.run_for(5s);
  const auto usual = net.drop;
  auto& lonely = net.named(3);
  net.drop = [&](const TestWorld::Flight& f) { return f.from == &lonely || f.to == &lonely || usual(f); };
  net.run_for(kWeek * 8 / 10);
  EXPECT_TRUE(lonely.node->measure()->results().empty());
  net.drop = usual;
  size_t accused = 0;
  for (int i = 0; i < 7; i++) accused += net.named(i).node->measure()->counters().silent;
  EXPECT_GE(accused, 4u) << "who does not answer while others do has refused";
}

TEST(MeasureSide, ResultsOutliveARestart) {
  MeasuringNet net(6);
  net.run_for(kWeek / 2);
  auto& r2 = net.named(2);
  const auto before = r2.node->measure()->results();
  ASSERT_FALSE(before.empty());
  net.restart(r2);
  net.announce(r2);
  net.run_for(1s);
  for (const auto& [target, value] : before) EXPECT_EQ(r2.node->measure()->results().at(target), value);
  net.run_for(kWeek * 4 / 10);
  EXPECT_EQ(r2.node->measure()->results().size(), 5u);
  EXPECT_EQ(r2.node->measure()->counters().measured, 5 - before.size());
}

// It asks again, and is no reason to accuse anybody.
TEST(MeasureSide, WhoForgetsWhatItMeasuredAccusesNobody) {
  MeasuringNet net(6);
  net.run_for(kWeek / 2);
  auto& r2 = net.named(2);
  for (int i = 0; i < 2; i++) {
    r2.config.directory->saved_measured.clear();
    net.restart(r2);
    net.announce(r2);
    net.run_for(kWeek / 5);
  }
  EXPECT_FALSE(r2.node->measure()->results().empty());
  for (const auto& [target, value] : r2.node->measure()->results()) EXPECT_NE(value, discovery::kRefusedValue);
}

TEST(MeasureSide, ResultsOutliveAClockThatJumpsAndComesBack) {
  for (const Duration jump : {Duration(3 * kWeek), Duration(-3 * kWeek)}) {
    MeasuringNet net(6);
    net.run_for(kWeek / 2);
    const auto before = net.named(2).node->measure()->results();
    ASSERT_FALSE(before.empty());
    net.now.wall += jump;
    net.run_for(kWeek / 20);
    net.now.wall -= jump;
    net.run_for(kWeek / 20);
    for (const auto& [target, value] : before) {
      ASSERT_TRUE(net.named(2).node->measure()->results().contains(target));
      EXPECT_EQ(net.named(2).node->measure()->results().at(target), value);
    }
  }
}

TEST(MeasureSide, TheResultsOfTheWeekBeforeAreStillPublished) {
  MeasuringNet net(6);
  net.run_for(kWeek * 9 / 10);
  const auto old = net.named(1).node->measure()->results();
  net.run_for(kWeek / 2);
  ASSERT_TRUE(net.named(1).measured);
  const auto& m = *net.named(1).measured;
  EXPECT_FALSE(m.now.empty());
  EXPECT_EQ(m.before.size(), old.size());
  net.run_for(kWeek);
  ASSERT_TRUE(net.named(1).measured);
  EXPECT_EQ(net.named(1).measured->week, static_cast<uint16_t>(discovery::measure_week_of(net.now.wall, kWeek)));
}

TEST(MeasureSide, ARelayIsMeasuredByWhicheverShardIsCalled) {
  MeasuringNet net(5);
  auto& many = net.relay(7, kRate, 3);
  net.steer = [&](const TestWorld::Host&, const Endpoint&) { return size_t{2}; };
  net.measure();
  EXPECT_TRUE(net.book(net.named(0)).is_measured(net.short_id(many)));
  EXPECT_GE(net.counted(net.named(0), many), kRate * 9 / 10);
  EXPECT_GT(net.crossed[ShardNote::Kind::measure], 100u);
  for (size_t i = 0; i < 3; i++) many.shard(i).check_invariants();
}

TEST(MeasureSide, OneOfSeveralShardsThatDoesNotMeasureSaysSo) {
  MeasuringNet net(5);
  net.live->measuring = DirectoryConfig::Measuring::off;
  auto& many = net.relay(7, kRate, 2);
  net.steer = [&](const TestWorld::Host&, const Endpoint&) { return size_t{1}; };
  net.run_for(kWeek * 9 / 10);
  size_t refused = 0;
  for (int i = 0; i < 5; i++) refused += net.named(i).node->measure()->counters().refused;
  EXPECT_GE(refused, 3u);
  EXPECT_EQ(net.crossed[ShardNote::Kind::measure], 0u);
  EXPECT_FALSE(net.book(net.named(0)).is_measured(net.short_id(many)));
}

// "Later" to all but friends would leave only what those say.
TEST(MeasureSide, WhoPutsOffForEverHasRefused) {
  size_t accused = 0;
  for (uint64_t seed = 1; seed <= 3; seed++) {
    MeasuringNet net(7, seed);
    auto& liar = net.relay(7);
    net.command(liar, [&](Node& n, Effects& fx) { n.set_service(net.now, peers::Service::draining, fx); });
    net.run_for(kWeek * 98 / 100);
    for (int i = 0; i < 7; i++) {
      const auto& results = net.named(i).node->measure()->results();
      const auto it = results.find(net.short_id(liar).value);
      accused += it != results.end() && it->second == discovery::kRefusedValue;
    }
  }
  EXPECT_GE(accused, 9u) << "of about 18 who are drawn; in so short a week, sixteen times take a third of it";
}

// ---- who gets nothing

struct Asker : MeasuringNet {
  Asker() : MeasuringNet(6), us(named(1)), asked(named(0)) {
    run_for(kWeek * 9 / 10);  // nobody measures any more
    link = open(us);
    sends = [this](const Host& from, const Datagram& d) {
      if (&from == &asked && (d.remote.address == us.address)) bytes += d.packet.size();
    };
  }
  PeerRef open(Host& from) {
    PeerRef out{};
    command(from, [&](Node& n, Effects& fx) {
      out = *n.links().open(now, contact(asked), LinkUse::verification);
      n.directory_changed(now, fx);
    });
    run_for(2s);
    return out;
  }
  uint32_t week() const { return discovery::measure_week_of(now.wall, kWeek); }
  discovery::MeasureAsk ask(Host& by, PeerRef in) {
    return {network.id, id_of(asked), week(), {kRate}, by.node->tunnels().info(in)->handshake_hash};
  }
  void say(Host& by, PeerRef in, const Host& as, const discovery::MeasureAsk& signed_ask, const crypto::SigningKey& key) {
    const auto frame = routing::write_measure({short_id(as).value, static_cast<uint16_t>(signed_ask.week), static_cast<uint32_t>(signed_ask.rate.bytes_per_second),
                                               discovery::sign_measure(key, signed_ask)});
    send_frame(by, in, frame);
    run_for(100ms);
  }
  void samples(Host& by, PeerRef in, size_t n, size_t size = discovery::kSampleSize) {
    const auto frame = routing::write_frame(routing::FrameType::sample, std::vector<uint8_t>(size));
    for (size_t i = 0; i < n; i++) {
      send_frame(by, in, frame);
      run_for(5ms);
    }
    run_for(100ms);
  }
  const MeasureCounters& counters() const { return asked.node->measure()->counters(); }
  uint64_t echoed() const { return counters().echoed - echoed_before; }
  Host &us, &asked;
  PeerRef link;
  uint64_t bytes = 0, echoed_before = 0;
};

TEST(MeasureSide, SamplesAreSentBackOnlyWhereThatWasAgreed) {
  Asker net;
  net.echoed_before = net.counters().echoed;
  net.samples(net.us, net.link, 20);
  EXPECT_EQ(net.echoed(), 0u) << "nobody asked";
  const uint64_t served = net.counters().served;
  net.say(net.us, net.link, net.us, net.ask(net.us, net.link), *net.us.config.identity);
  ASSERT_EQ(net.counters().served, served + 1);
  const PeerRef other = net.open(net.named(2));
  net.samples(net.named(2), other, 20);
  EXPECT_EQ(net.echoed(), 0u) << "another session";
  net.samples(net.us, net.link, 5, 1000);
  EXPECT_EQ(net.echoed(), 0u) << "of another size";
  net.command(net.named(2), [&](Node& n, Effects& fx) {
    n.links().close(other);
    n.directory_changed(net.now, fx);
  });
  net.run_for(1s);
  net.samples(net.us, net.link, 600);
  EXPECT_GT(net.echoed(), 300u);
  EXPECT_LE(net.echoed(), kRate * 10 / discovery::kSampleSize) << "no more than was agreed";
  net.run_for(11s);
  const uint64_t then = net.echoed();
  net.samples(net.us, net.link, 20);
  EXPECT_EQ(net.echoed(), then) << "it is over";
}

TEST(MeasureSide, WhoStaysAfterwardsKeepsThePlaceOfNobody) {
  Asker net;
  const uint64_t served = net.counters().served;
  net.say(net.us, net.link, net.us, net.ask(net.us, net.link), *net.us.config.identity);
  ASSERT_EQ(net.counters().served, served + 1);
  net.run_for(16s);
  ASSERT_TRUE(net.us.node->tunnels().info(net.link)) << "it is still there";
  const PeerRef other = net.open(net.named(2));
  net.say(net.named(2), other, net.named(2), net.ask(net.named(2), other), *net.named(2).config.identity);
  EXPECT_EQ(net.counters().served, served + 2);
}

TEST(MeasureSide, WhoIsNotWhoItSaysGetsNothing) {
  Asker net;
  const uint64_t served = net.counters().served, denied = net.counters().denied;
  SeededRng rng(5);
  const auto other_key = crypto::ed25519_generate(rng);
  net.say(net.us, net.link, net.us, net.ask(net.us, net.link), other_key);
  auto ask = net.ask(net.us, net.link);
  ask.handshake_hash[0] ^= 1;
  net.say(net.us, net.link, net.us, ask, *net.us.config.identity);
  ask = net.ask(net.us, net.link);
  ask.week--;
  net.say(net.us, net.link, net.us, ask, *net.us.config.identity);
  ask = net.ask(net.us, net.link);
  ask.rate = {4 * kRate};
  net.say(net.us, net.link, net.us, ask, *net.us.config.identity);
  auto& stranger = net.add_relay("stranger", "20.99.0.1", false);  // that nobody has heard of
  net.run_for(4s);
  const PeerRef in = net.open(stranger);
  net.say(stranger, in, stranger, net.ask(stranger, in), *stranger.config.identity);
  EXPECT_EQ(net.counters().served, served);
  EXPECT_EQ(net.counters().denied, denied + 5);
}

TEST(MeasureSide, WhoIsNotDrawnGetsNothing) {
  Asker net;
  net.us.as_number = net.asked.as_number = 64500;
  net.announce(net.us);
  net.run_for(2s);
  net.announce(net.asked);
  net.run_for(30s);
  const uint64_t served = net.counters().served, verified = net.counters().verified;
  net.say(net.us, net.link, net.us, net.ask(net.us, net.link), *net.us.config.identity);
  EXPECT_EQ(net.counters().served, served);
  EXPECT_EQ(net.counters().verified, verified) << "and no signature is looked at";
}

// Strangers name somebody who is drawn; he himself, who calls from where he is said to be, is heard all the same.
TEST(MeasureSide, QuestionsOfAllTogetherAreBoundedAndPutNobodyOffWhoCallsFromHome) {
  Asker net;
  std::vector<std::pair<TestWorld::Host*, PeerRef>> askers;
  for (int i = 2; i < 6; i++) askers.emplace_back(&net.named(i), net.open(net.named(i)));
  for (int i = 0; i < 4; i++) {
    TestWorld::Host& h = net.add_relay("stranger" + std::to_string(i), "21." + std::to_string(i) + ".0.1", false);
    askers.emplace_back(&h, net.open(h));
  }
  net.run_for(10s);
  SeededRng rng(5);
  const auto key = crypto::ed25519_generate(rng);
  const uint64_t verified = net.counters().verified, served = net.counters().served;
  const Mono begin = net.now.mono;
  for (int i = 0; i < 12; i++) {
    for (const auto& [by, in] : askers) net.say(*by, in, net.us, net.ask(*by, in), key);
  }
  const auto s = static_cast<uint64_t>((net.now.mono - begin) / 1s);
  EXPECT_LE(net.counters().verified - verified, MeasureSide::kInAll.per_second * (s + 1) + MeasureSide::kInAll.burst);
  EXPECT_GT(net.counters().verified - verified, 20u);
  EXPECT_EQ(net.counters().served, served);
  net.say(net.us, net.link, net.us, net.ask(net.us, net.link), *net.us.config.identity);
  EXPECT_EQ(net.counters().served, served + 1);
}

TEST(MeasureSide, QuestionsAreBounded) {
  Asker net;
  net.run_for(1min);
  const uint64_t before = net.bytes;
  SeededRng rng(5);
  const auto key = crypto::ed25519_generate(rng);
  const uint64_t denied = net.counters().denied;
  for (int i = 0; i < 300; i++) net.say(net.us, net.link, net.us, net.ask(net.us, net.link), key);
  EXPECT_GE(net.counters().denied, denied + 290);
  EXPECT_LE(net.bytes - before, 300u * 160);
  EXPECT_LE(net.counters().verified, 60u) << "signatures, in 30 s";
}

}  // namespace
}  // namespace macrovpn::node
