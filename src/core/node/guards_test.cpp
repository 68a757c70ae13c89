// What costs a guard its place, for a while, and what does not.
#include <gtest/gtest.h>

#include "core/node/node_world_test.h"

namespace macrovpn::node {
namespace {

constexpr TunId kTun{7};

struct Net : SmallNet {
  explicit Net(uint64_t seed, size_t spares = 0) : SmallNet({.spare_circuits = spares}, seed, {6, 3}) {}
  const Circuit* connect() {
    publish();
    return SmallNet::connect(client(), kTun);
  }
  // A program asks every half second, so that a dead circuit is noticed.
  bool talks_until(const std::function<bool()>& done, Duration most) {
    for (const Mono end = now.mono + most; now.mono < end && !done();) {
      send_from_program(client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
      run_for(500ms);
    }
    return done();
  }
};

TEST(Guards, OneThatAnswersAndDropsWhatItShouldCarryIsLeftForAnother) {
  for (uint64_t seed = 1; seed <= 5; seed++) {
    Net net(seed);
    const Circuit* before = net.connect();
    ASSERT_NE(before, nullptr);
    const PeerId id = before->hops[0].relay.id;
    const CircuitId old = before->id;
    const Net::Host* guard = &net.host_of(before->hops[0]);
    net.drop = [&](const Net::Flight& f) { return f.from == guard && f.to != &net.client(); };
    const auto moved = [&] {
      const Circuit* c = net.active(net.client(), kTun);
      return c != nullptr && c->id != old;
    };
    ASSERT_TRUE(net.talks_until(moved, 30s)) << seed;
    EXPECT_NE(net.active(net.client(), kTun)->hops[0].relay.id, id) << seed;
    net.check_all();
  }
}

// Eight strangers for each start of the program would be many before long.
TEST(Middles, AreTheSameAfterARestart) {
  for (uint64_t seed = 1; seed <= 5; seed++) {
    SmallNet net({.spare_circuits = 0}, seed, {15, 3});
    net.publish();
    std::set<PeerId> middles;
    for (int i = 0; i < 12; i++) {
      const Circuit* c = net.connect(net.client(), kTun);
      ASSERT_NE(c, nullptr);
      middles.insert(c->hops[1].relay.id);
      net.restart(net.client());
      net.publish();
      net.run_for(1s);
    }
    EXPECT_LE(middles.size(), peers::MiddleSet::kSize) << seed;
    net.check_all();
  }
}

// A spare that came about by luck is no reason to go on with it.
TEST(Guards, OneThatDropsHalfOfWhatItShouldCarryIsLeftForAnotherWithItsSpares) {
  for (uint64_t seed = 1; seed <= 5; seed++) {
    Net net(seed, 1);
    const Circuit* before = net.connect();
    ASSERT_NE(before, nullptr);
    const PeerId id = before->hops[0].relay.id;
    const Net::Host* guard = &net.host_of(before->hops[0]);
    SeededRng luck(seed);
    net.drop = [&](const Net::Flight& f) { return f.from == guard && luck.below(2) == 0; };
    size_t by_another = 0;
    for (int i = 0; i < 240; i++) {
      net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
      net.run_for(500ms);
      const Circuit* c = net.active(net.client(), kTun);
      by_another += i >= 120 && c != nullptr && c->hops[0].relay.id != id;
    }
    EXPECT_GE(by_another, 60u) << seed;  // half of the second minute at least
    net.check_all();
  }
}

// In a network full of relays that are absent the first three may all be such.
TEST(Guards, ThreeThatNeverWorkedAreNotAll) {
  for (uint64_t seed = 1; seed <= 5; seed++) {
    Net net(seed);
    net.publish();
    net.attach(net.client(), kTun);
    const auto first = net.client().node->client()->guards().all();
    ASSERT_EQ(first.size(), 3u);
    for (auto& [name, h] : net.hosts) {
      for (const auto& g : first) h->dead |= h->node && h->config.identity && discovery::peer_id_of(h->config.identity->pub) == g.id;
    }
    // As long as nobody at all has answered, it may be the network: nobody else is told our address.
    EXPECT_FALSE(net.talks_until([&] { return net.active(net.client(), kTun) != nullptr; }, 60s)) << seed;
    EXPECT_EQ(net.client().node->client()->guards().all().size(), 3u);
    // Then somebody does: one that the directory is fetched from.
    const auto alive = std::find_if(net.hosts.begin(), net.hosts.end(), [](const auto& h) { return h.second->config.relay && !h.second->dead; });
    ASSERT_NE(alive, net.hosts.end());
    net.command(net.client(), [&](Node& n, Effects& fx) {
      n.links().open(net.now, net.contact(*alive->second), LinkUse::directory);
      n.on_deadline(net.now, fx);
    });
    ASSERT_TRUE(net.talks_until([&] { return net.active(net.client(), kTun) != nullptr; }, 120s)) << seed;
    const auto& guards = net.client().node->client()->guards().all();
    EXPECT_GE(guards.size(), 4u) << seed;
    EXPECT_LE(guards.size(), 5u) << "two new ones a week";
    EXPECT_EQ(net.count<Warning>(net.client()), 0u);
    net.check_all();
  }
}

TEST(Guards, AnOutageDrawsNoNewOnes) {
  Net net(3);
  ASSERT_NE(net.connect(), nullptr);
  const auto have = [&] { return net.client().node->client()->guards().all().size(); };
  ASSERT_EQ(have(), 3u);
  net.drop = [](const Net::Flight&) { return true; };
  static_cast<void>(net.talks_until([] { return false; }, 90s));
  net.drop = nullptr;
  ASSERT_TRUE(net.talks_until([&] { return net.active(net.client(), kTun) != nullptr; }, 60s));
  EXPECT_EQ(have(), 3u);
}

TEST(Guards, DeadRelaysBehindItDoNotCostOne) {
  for (uint64_t seed = 1; seed <= 5; seed++) {
    Net net(seed);
    const Circuit* before = net.connect();
    ASSERT_NE(before, nullptr);
    const PeerId guard = before->hops[0].relay.id;
    const CircuitId old = before->id;
    const Net::Host* carrier = &net.host_of(before->hops[0]);
    // Its next relay dies, and the one that is asked then with the question.
    net.host_of(before->hops[1]).dead = true;
    size_t died = 0;
    net.tap = [&](const Net::Flight& f) {
      if (f.from != carrier || f.to == &net.client() || f.to->dead || died == 1) return;
      died++;
      f.to->dead = true;
    };
    const auto moved = [&] {
      const Circuit* c = net.active(net.client(), kTun);
      return c != nullptr && c->id != old;
    };
    ASSERT_TRUE(net.talks_until(moved, 60s)) << seed;
    EXPECT_EQ(died, 1u);
    EXPECT_EQ(net.active(net.client(), kTun)->hops[0].relay.id, guard) << seed;
    net.check_all();
  }
}

}  // namespace
}  // namespace macrovpn::node
