// Links that lose what is long: from the start or from some moment on, one way or both, near or far.
#include <gtest/gtest.h>

#include "core/node/node_world_test.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::node {
namespace {

constexpr TunId kTun{7};
constexpr size_t kWhole = 1376;
enum class Way : uint8_t { both, to_exit, to_client };

struct Net : SmallNet {
  explicit Net(ClientConfig config = {.spare_circuits = 0}, uint64_t seed = 1) : SmallNet(config, seed) {}
  const Circuit* connect() {
    publish();
    return SmallNet::connect(client(), kTun);
  }
  const Circuit& now_active() { return *active(client(), kTun); }
  // The path that circuits will take.
  void pin(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      client().config.client->pinned_path.push_back(discovery::peer_id_of(hosts[name]->config.identity->pub));
    }
    restart(client());
  }
  // How long a datagram may be that carries an inside packet of `mtu` over the link before hop `link`.
  static size_t datagram(size_t mtu, size_t link) { return mtu + 32 * (3 - link); }
  // The link before hop `at` of the circuit loses what is longer than packets of `mtu` make.
  void narrow(size_t at, size_t mtu, Way way) {
    const Circuit& c = now_active();
    narrow(at == 0 ? &client() : &host_of(c.hops[at - 1]), &host_of(c.hops[at]), at, mtu, way);
  }
  void narrow(const Host* near, const Host* far, size_t at, size_t mtu, Way way) {
    const size_t most = datagram(mtu, at);
    drop = [=](const Flight& f) {
      const bool down = f.from == near && f.to == far, up = f.from == far && f.to == near;
      return ((down && way != Way::to_client) || (up && way != Way::to_exit)) && f.bytes.size() - 1 > most;
    };
  }
  void narrow_first_link(size_t mtu) {
    drop = [this, most = datagram(mtu, 0)](const Flight& f) {
      return (f.from == &client() || f.to == &client()) && f.bytes.size() - 1 > most;
    };
  }
  Host& exit() { return host_of(now_active().exit()); }
  uint16_t told() { return exit().leases.empty() ? uint16_t{0} : exit().leases.back().mtu.value_or(0); }
  // A large packet each way every 50 ms, and answers, as long as the way is whole: an upload and a download.
  void exchange(size_t size) {
    const auto out = udp_packet("10.10.0.2", "192.0.2.1", size - 28);
    const size_t before = exit().exit.size();
    send_from_program(client(), kTun, out);
    run_for(50ms);
    if (exit().exit.size() == before || exit().exit.back().size() != size) return;
    auto back = exit().exit.back();
    std::swap_ranges(back.begin() + 12, back.begin() + 16, back.begin() + 16);
    send_from_exit(exit(), back);
  }
  size_t large_datagrams(const std::function<void()>& meanwhile) {
    size_t n = 0;
    tap = [&](const Flight& f) { n += f.bytes.size() > 900; };
    meanwhile();
    tap = {};
    return n;
  }
};

TEST(Mtu, IsFoundForEachLinkAndBothWaysFromTheStart) {
  for (size_t link = 0; link < 3; link++) {
    for (const Way way : {Way::both, Way::to_exit, Way::to_client}) {
      Net net;
      const std::vector<std::string> path = {"client", "r0", "r1", "e0"};
      net.pin({"r0", "r1", "e0"});
      net.narrow(net.hosts[path[link]].get(), net.hosts[path[link + 1]].get(), link, 1200, way);
      ASSERT_NE(net.connect(), nullptr);
      net.run_for(1s);
      EXPECT_EQ(net.now_active().mtu(), 1152) << link;
      EXPECT_EQ(net.told(), 1152) << link;
      EXPECT_EQ(net.count<MtuChanged>(net.client()), 1u);
      net.check_all();
    }
  }
}

TEST(Mtu, AHoleThatAppearsIsFoundWithinTwoSecondsOnEachLinkAndEachWay) {
  for (size_t link = 0; link < 3; link++) {
    for (const Way way : {Way::both, Way::to_exit, Way::to_client}) {
      Net net;
      ASSERT_NE(net.connect(), nullptr);
      for (int i = 0; i < 100; i++) net.exchange(kWhole);
      ASSERT_EQ(net.now_active().mtu(), kWhole);
      const CircuitId before = net.now_active().id;
      net.narrow(link, 1300, way);
      const Mono began = net.now.mono;
      while (net.told() != 1280 && net.now.mono - began < 20s) net.exchange(net.now_active().mtu());
      EXPECT_LT(net.now.mono - began, 2s) << link;
      EXPECT_EQ(net.now_active().mtu(), 1280);
      EXPECT_EQ(net.now_active().id, before);
      EXPECT_EQ(net.count<LeaseLost>(net.client()), 0u);
      // What has the new size passes, both ways.
      net.client().tun.clear();
      net.exchange(1280);
      net.run_for(500ms);
      EXPECT_EQ(net.client().tun.size(), 1u);
      net.check_all();
    }
  }
}

// Nothing is silent: small packets are answered all the time, and the large ones vanish.
TEST(Mtu, AHoleIsFoundBesideSmallPacketsThatPass) {
  for (const Way way : {Way::to_exit, Way::to_client}) {
    Net net;
    ASSERT_NE(net.connect(), nullptr);
    for (int i = 0; i < 100; i++) net.exchange(kWhole);
    net.narrow(1, 1300, way);
    const Mono began = net.now.mono;
    while (net.told() != 1280 && net.now.mono - began < 20s) {
      net.exchange(200);
      net.exchange(net.now_active().mtu());
    }
    EXPECT_LT(net.now.mono - began, 7s);
    EXPECT_EQ(net.now_active().mtu(), 1280);
  }
}

// The way became narrower while nothing passed.  The question is answered by a small packet, and then nothing comes: the
// program has nothing more to send, so that nothing is silent.
TEST(Mtu, AHoleFromARestIsFoundByTheFirstQuestion) {
  Net net;
  ASSERT_NE(net.connect(), nullptr);
  net.run_for(30s);
  net.narrow(1, 1300, Way::to_client);
  net.exchange(200);
  net.run_for(1s);
  EXPECT_EQ(net.now_active().mtu(), 1280);
}

// Else its kernel would wait for its own timeout, which doubles and doubles.
TEST(Mtu, WhoSentWhatWasLostHearsOfItAtOnce) {
  Net net;
  ASSERT_NE(net.connect(), nullptr);
  net.run_for(2s);
  net.narrow(2, 1300, Way::to_exit);
  PacketPool pool;
  Packet p = pool.take();
  const MutBytes t = routing::start_ip(*IpAddress::parse("10.10.0.2"), *IpAddress::parse("192.0.2.1"),
                                       routing::IpProtocol::tcp, kWhole - 20, p);
  store_be16(&t[0], 4000);
  store_be16(&t[2], 443);
  store_be32(&t[4], 77);
  t[12] = 5 << 4;
  t[13] = routing::kTcpAck;
  routing::finish_ip(p);
  net.client().tun.clear();
  net.send_from_program(net.client(), kTun, p.bytes());
  ASSERT_TRUE(net.run_until([&] { return net.now_active().mtu() == 1280; }, 5s));
  ASSERT_EQ(net.client().tun.size(), 1u);  // no time has passed
  const auto& said = net.client().tun[0];
  EXPECT_EQ(said[20], 3);
  EXPECT_EQ(said[21], 4);
  EXPECT_EQ(load_be16(&said[26]), 1280);
  EXPECT_EQ(load_be32(&said[28 + 20 + 4]), 77u);
}

TEST(Mtu, GrowsBackAndSaysSo) {
  Net net;
  ASSERT_NE(net.connect(), nullptr);
  net.narrow(2, 1100, Way::both);
  net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
  net.run_for(3s);
  ASSERT_EQ(net.told(), 1088);
  net.drop = {};
  const Mono began = net.now.mono;
  while (net.now_active().mtu() != kWhole && net.now.mono - began < 60s) net.exchange(1000);
  EXPECT_LT(net.now.mono - began, 20s);
  net.run_for(500ms);
  EXPECT_EQ(net.told(), kWhole);
}

TEST(Mtu, TheExitIsToldAgainWhenThatIsLost) {
  Net net;
  ASSERT_NE(net.connect(), nullptr);
  net.run_for(2s);
  net.narrow(0, 1300, Way::both);
  const auto hole = net.drop;
  net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
  ASSERT_TRUE(net.run_until([&] { return net.now_active().mtu() == 1280; }, 20s));
  net.drop = [&](const TestWorld::Flight&) { return true; };
  net.run_for(400ms);
  EXPECT_EQ(net.told(), kWhole);
  net.drop = hole;
  net.run_for(3s);
  EXPECT_EQ(net.told(), 1280);
}

TEST(Mtu, BelowWhatIpv6NeedsACircuitCarriesIpv4AloneAndSaysSoOnce) {
  for (const size_t mtu : {1280u, 1264u}) {
    Net net;
    for (const char* name : {"e0", "e1"}) {
      net.hosts[name]->config.relay->exit_v6 = true;
      net.restart(*net.hosts[name]);
    }
    net.narrow_first_link(mtu);
    ASSERT_NE(net.connect(), nullptr);
    net.run_for(2s);
    const bool v6 = mtu >= 1280;
    EXPECT_EQ(net.now_active().carries_v6(), v6);
    EXPECT_EQ(net.count<Warning>(net.client()), v6 ? 0u : 1u);
    net.client().tun.clear();
    net.send_from_program(net.client(), kTun, udp_packet("fd86:ea04:1115::2", "2001:db8::9", 1280 - 48));
    ASSERT_EQ(net.client().tun.size(), v6 ? 0u : 1u);  // no time has passed
    if (!v6) {
      EXPECT_EQ(net.client().tun[0][6], 58);
      EXPECT_EQ(net.client().tun[0][40], 1);  // unreachable, not "too big", which nobody would believe
    }
    net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 1000));
    net.run_for(500ms);
    ASSERT_FALSE(net.exit().exit.empty());
    EXPECT_EQ(net.exit().exit.back()[0] >> 4, 4);
    net.hop(net.client());
    net.run_for(3s);
    EXPECT_EQ(net.count<Warning>(net.client()), v6 ? 0u : 1u);
  }
}

// Else each new circuit would lose a second on a computer whose own link is narrow.
TEST(Mtu, TheNextCircuitStartsWithWhatTheLastOneFound) {
  Net net;
  net.narrow_first_link(1300);
  ASSERT_NE(net.connect(), nullptr);
  net.run_for(2s);
  ASSERT_EQ(net.now_active().mtu(), 1280);
  net.hop(net.client());
  ASSERT_TRUE(net.run_until([&] { return net.count<LeaseMoved>(net.client()) == 1; }, 20s));
  EXPECT_EQ(net.now_active().mtu(), 1280);
  EXPECT_EQ(net.told(), 1280);
  net.drop = {};
  net.hop(net.client());
  ASSERT_TRUE(net.run_until([&] { return net.count<LeaseMoved>(net.client()) == 2; }, 20s));
  net.run_for(300ms);
  EXPECT_EQ(net.now_active().mtu(), kWhole);
}

TEST(Mtu, ACircuitThatCarriesSmallPacketsAloneIsLeft) {
  Net net;
  ASSERT_NE(net.connect(), nullptr);
  net.run_for(2s);
  const PeerId middle = net.now_active().hops[1].relay.id;
  net.narrow(1, 500, Way::to_client);
  net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
  ASSERT_TRUE(net.run_until([&] { return net.count<LeaseMoved>(net.client()) == 1; }, 20s));
  EXPECT_NE(net.now_active().hops[1].relay.id, middle);
  EXPECT_EQ(net.count<LeaseLost>(net.client()), 0u);
  net.run_for(1s);
  EXPECT_EQ(net.now_active().mtu(), kWhole);
}

// Where every way is like that, new circuits would be no better: they come at most every half minute.
TEST(Mtu, ButNotAgainAndAgain) {
  Net net;
  ASSERT_NE(net.connect(), nullptr);
  net.run_for(2s);
  net.narrow_first_link(570);  // circuits are built inside the guard's session
  for (int i = 0; i < 600; i++) {
    net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
    net.run_for(100ms);
  }
  EXPECT_LE(net.count<CircuitReady>(net.client()), 4u);
}

TEST(Mtu, OurOwnLinksRefusalIsADoubtAndNotAProof) {
  Net net;
  ASSERT_NE(net.connect(), nullptr);
  net.run_for(2s);
  const auto refuse = [&] {
    net.command(net.client(), [&](Node& n, Effects&) { n.refused_as_too_long(net.now); });
  };
  EXPECT_EQ(net.large_datagrams([&] { refuse(); net.run_for(2s); }), 0u);  // nothing large was sent
  net.exchange(kWhole);
  refuse();
  net.run_for(2s);
  EXPECT_EQ(net.now_active().mtu(), kWhole);
  net.exchange(100);  // as who waits for a large answer to an acknowledged question
  net.run_for(1500ms);
  net.narrow_first_link(1000);
  net.exchange(100);
  refuse();
  net.run_for(1500ms);
  EXPECT_EQ(net.now_active().mtu(), 896);
}

// Small packets that are answered would have hidden it for a quarter of a minute.
TEST(Mtu, WhatAnotherCircuitFindsOnTheFirstLinkIsLookedIntoByAllOfThem) {
  Net net;
  net.pin({"r0", "r1", "e0"});
  ASSERT_NE(net.connect(), nullptr);
  for (int i = 0; i < 600; i++) net.exchange(200);
  net.narrow_first_link(1000);
  const Mono began = net.now.mono;
  ASSERT_NE(net.SmallNet::connect(net.client(), TunId{8}), nullptr);
  for (int i = 0; i < 50; i++) net.exchange(200);
  EXPECT_EQ(net.active(net.client(), TunId{8})->mtu(), 896);
  EXPECT_EQ(net.now_active().mtu(), 896);
  EXPECT_LT(net.now.mono - began, 5s);
}

// Nothing to be seen of a circuit that carries nothing, and little of one that carries small packets.
TEST(Mtu, AnIdleCircuitIsNotProbed) {
  Net net;
  ASSERT_NE(net.connect(), nullptr);
  net.run_for(3s);
  EXPECT_EQ(net.large_datagrams([&] { net.run_for(4min); }), 0u);
  const size_t chatting = net.large_datagrams([&] {
    for (int i = 0; i < 2400; i++) net.exchange(200);
  });
  EXPECT_LE(chatting, 12 * 6u);  // each crosses three links, there and back
}

// The probes are as large for everybody as they are for anybody.
TEST(Mtu, AsksForTheSameSizesWhateverThePath) {
  std::set<size_t> sizes;
  for (const size_t mtu : {1375u, 1111u, 700u}) {
    Net net;
    ASSERT_NE(net.connect(), nullptr);
    net.run_for(2s);
    net.narrow(1, mtu, Way::both);
    net.tap = [&](const TestWorld::Flight& f) {
      if (f.from == &net.client() && f.bytes.size() - 1 > Net::datagram(570, 0)) sizes.insert(f.bytes.size() - 1);
    };
    net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
    net.run_for(3s);
  }
  std::set<size_t> ladder;
  for (const uint16_t size : routing::PathMtu::kLadder) {
    if (size <= kWhole) ladder.insert(Net::datagram(size, 0));
  }
  EXPECT_EQ(sizes, ladder);
}

// A client that says what it likes may narrow its own lease, and nothing else.
TEST(Mtu, ALeaseTellsTheNewSizeOfItsNewestSessionOnly) {
  Net net;
  ASSERT_NE(net.connect(), nullptr);
  net.run_for(2s);
  const PeerRef old = net.now_active().exit().peer;
  net.hop(net.client());
  ASSERT_TRUE(net.run_until([&] { return net.count<LeaseMoved>(net.client()) == 1; }, 20s));
  net.run_for(100ms);
  const size_t leases = net.exit().node->exit()->leases();
  net.send_frame(net.client(), old, routing::write_lease({.mtu = 600}));
  net.run_for(500ms);
  EXPECT_EQ(net.told(), kWhole);
  EXPECT_EQ(net.exit().node->exit()->leases(), leases);
}

}  // namespace
}  // namespace macrovpn::node
