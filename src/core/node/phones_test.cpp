// Phones: a stock WireGuard app, here Tunnels with a configured peer and nothing else of ours, whose packets go on
// through the circuits of the node that it calls.
#include <gtest/gtest.h>

#include "core/node/hostile_world_test.h"
#include "core/routing/address_rewrite.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::node {
namespace {

const std::string kSite = "192.0.2.1", kInside = "10.10.0.2";

class App {
 public:
  App(TestWorld& world, TestWorld::Host& home, const std::string& address, uint64_t seed)
      : world_(world), home_(home), rng_(seed), keys_(crypto::x25519_generate(rng_)), at{*IpAddress::parse(address), 40'000},
        tunnels_(keys_, {}, ShardId{0}, pool_, rng_) {
    rng_.fill(preshared_.fill());
    encryption::ConfiguredPeer peer;
    peer.key = home.config.wireguard.pub;
    peer.preshared = preshared_;
    peer.route = Route::udp(SocketId{0}, {home.address, 51'820}, kPlain);
    peer.allowed_ips = {*IpPrefix::parse("0.0.0.0/0"), *IpPrefix::parse("::/0")};
    peer.mtu = kPhoneMtu;
    home_ref_ = *tunnels_.add_configured(world.now.mono, peer);
  }
  Phone phone() const { return {keys_.pub, preshared_}; }
  void send(Bytes packet) {
    Packet p = pool_.copy_of(packet);
    encryption::SealJob job{home_ref_, &p, {}, encryption::Drop::none};
    encryption::Out out;
    tunnels_.seal_batch(world_.now, {&job, 1}, out);
    if (job.result == encryption::Drop::none) put(p.bytes());
    take(out);
  }
  // What came for its address, and its timers.
  void work() {
    if (tunnels_.next_deadline() <= world_.now.mono) {
      encryption::Out out;
      tunnels_.on_deadline(world_.now, out);
      take(out);
    }
    std::vector<std::vector<uint8_t>> now;
    now.swap(inbox);
    for (const auto& bytes : now) receive(bytes);
  }
  bool has_session() const { return tunnels_.info(home_ref_)->established; }

 private:
  TestWorld& world_;
  TestWorld::Host& home_;
  SeededRng rng_;
  PacketPool pool_;
  KeyPair keys_;
  Secret<32> preshared_;

 public:
  const Endpoint at;
  SocketId calls = kPhoneSocket;
  std::vector<std::vector<uint8_t>> inbox, datagrams, packets;  // to be handled; all that came; opened

 private:
  void put(Bytes datagram) { world_.send_forged(at, home_, calls, datagram); }
  void take(encryption::Out& out) {
    for (auto& m : out.messages) put(m.packet.bytes());
  }
  void receive(Bytes bytes) {
    const Route from = Route::udp(SocketId{0}, {home_.address, 51'820}, kPlain);
    encryption::Out out;
    if (bytes[0] == 2) {
      static_cast<void>(tunnels_.on_response(world_.now, from, bytes, out));
    } else if (bytes[0] == 1) {
      static_cast<void>(tunnels_.on_initiation(world_.now, {from, bytes.size(), {}}, bytes, {}, out));
    } else {
      Packet p = pool_.copy_of(bytes);
      encryption::OpenJob job{&p, from, {}, encryption::Drop::none};
      tunnels_.open_batch(world_.now, {&job, 1}, out);
      if (job.result == encryption::Drop::none && p.size() != 0) packets.emplace_back(p.bytes().begin(), p.bytes().end());
    }
    take(out);
  }
  encryption::Tunnels tunnels_;
  PeerRef home_ref_;
};

struct Phones : testing::Test {
  SmallNet net{{.spare_circuits = 1}, 1, {4, 1}};
  std::vector<std::unique_ptr<App>> apps;
  std::vector<Endpoint> left;  // the node sent a datagram there

  void SetUp() override {
    net.publish();
    net.sends = [this](const TestWorld::Host& from, const Datagram& d) {
      if (&from != &net.client()) return;
      left.push_back(d.remote);
      for (auto& a : apps) {
        if (a->at != d.remote) continue;
        EXPECT_EQ(d.socket, kPhoneSocket);
        const auto b = d.packet.bytes();
        a->inbox.emplace_back(b.begin(), b.end());
        a->datagrams.push_back(a->inbox.back());
      }
    };
    net.run_for(2s);  // the spare is ready
  }
  App& new_app(const std::string& address = "198.51.100.200") {
    apps.push_back(std::make_unique<App>(net, net.client(), address, 70 + apps.size()));
    return *apps.back();
  }
  TunId add(const App& a) {
    TunId tun{};
    net.command(net.client(), [&](Node& n, Effects& fx) {
      const auto added = n.add_phone(net.now, a.phone(), fx);
      ASSERT_TRUE(added.ok()) << added.error().message;
      tun = *added;
    });
    return tun;
  }
  void remove(TunId tun) {
    net.command(net.client(), [&](Node& n, Effects& fx) { n.remove_phone(net.now, tun, fx); });
  }
  void run_for(Duration d) {
    for (const Mono end = net.now.mono + d; net.now.mono < end;) {
      net.run_for(20ms);
      for (auto& a : apps) a->work();
    }
  }
  void ask(App& a, size_t payload = 64) { a.send(udp_packet(kInside, kSite, payload)); }
  // The exit's answer to what came there last.
  void answer(const std::vector<uint8_t>& question) {
    std::vector<uint8_t> a = question;
    std::swap_ranges(a.begin() + 12, a.begin() + 16, a.begin() + 16);
    net.send_from_exit(exit(), a);
  }
  TestWorld::Host& exit() { return *net.hosts["e0"]; }
  size_t groups() { return net.client().node->client()->groups().size(); }
  uint64_t refused(encryption::Drop d) { return net.client().node->tunnels().count(d); }
};

IpAddress source_of(Bytes p) { return IpAddress::v4(load_be32(&p[12])); }
IpAddress destination_of(Bytes p) { return IpAddress::v4(load_be32(&p[16])); }

TEST_F(Phones, TheirPacketsLeaveByTheExitAndAnswersComeBack) {
  App& app = new_app();
  add(app);
  ask(app);
  run_for(2s);
  ASSERT_EQ(exit().exit.size(), 1u);
  EXPECT_EQ(destination_of(exit().exit[0]), *IpAddress::parse(kSite));
  answer(exit().exit[0]);
  run_for(1s);
  ASSERT_EQ(app.packets.size(), 1u);
  EXPECT_EQ(source_of(app.packets[0]), *IpAddress::parse(kSite));
  EXPECT_EQ(destination_of(app.packets[0]), *IpAddress::parse(kInside));
  EXPECT_TRUE(net.client().tun.empty());
  net.check_all();
}

TEST_F(Phones, HearStockWireGuardOnly) {
  App& app = new_app();
  add(app);
  ask(app);
  run_for(2s);
  for (const size_t size : {1, 100, 1252}) {
    ask(app, size);
    run_for(1s);
    answer(exit().exit.back());
    run_for(1s);
  }
  ASSERT_EQ(app.packets.size(), 3u);
  run_for(5min);  // and through a rekey
  ask(app);
  run_for(5s);
  EXPECT_EQ(exit().exit.size(), 5u);
  for (const auto& d : app.datagrams) {
    ASSERT_GE(d.size(), 32u);
    EXPECT_TRUE(d[0] == 1 || d[0] == 2 || d[0] == 4);
    EXPECT_TRUE(d[1] == 0 && d[2] == 0 && d[3] == 0);
    if (d[0] == 1) {
      EXPECT_EQ(d.size(), 148u);
    } else if (d[0] == 2) {
      EXPECT_EQ(d.size(), 92u);
    } else {
      EXPECT_EQ(d.size() % 16, 0u);
    }
  }
}

TEST_F(Phones, NothingLeavesTheNodeButToGuardsAndPhones) {
  App& app = new_app();
  add(app);
  for (int i = 0; i < 20; i++) {
    ask(app);
    run_for(500ms);
    if (!exit().exit.empty()) answer(exit().exit.back());
  }
  ASSERT_GE(app.packets.size(), 10u);
  std::set<IpAddress> guards;
  for (const auto& [id, c] : net.client().node->client()->circuits())
    guards.insert(net.host_of(c.hops[0]).address);
  for (const Endpoint& e : left) EXPECT_TRUE(e == app.at || guards.contains(e.address));
}

TEST_F(Phones, AreAnsweredAtTheirPortAlone) {
  App& app = new_app();
  add(app);
  app.calls = kListenSocket;
  ask(app);
  run_for(12s);  // two tries
  EXPECT_TRUE(app.datagrams.empty());
  app.calls = kPhoneSocket;
  run_for(12s);
  EXPECT_TRUE(app.has_session());
}

// Of a node that relays too: whoever has its key could else have sessions at a port that closes with the last phone.
TEST_F(Phones, TheirPortAnswersNobodyElse) {
  auto& home = net.client();
  home.config.identity = net.hosts["r0"]->config.identity;
  home.config.relay = RelayConfig{};
  net.restart(home);
  Stranger stranger(5);
  const Endpoint at{*IpAddress::parse("198.51.100.210"), 4000};
  const auto answers = [&](SocketId socket, Bytes datagram) {
    left.clear();
    net.send_forged(at, home, socket, datagram);
    net.run_for(200ms);
    return std::count(left.begin(), left.end(), at);
  };
  EXPECT_EQ(answers(kPhoneSocket, stranger.call(net.now, home).initiation.message), 0);
  EXPECT_EQ(answers(kListenSocket, stranger.call(net.now, home).initiation.message), 1);
  encryption::MaskKey mask(net.network.id.bytes, home.config.wireguard.pub);
  for (const SocketId socket : {kPhoneSocket, kListenSocket}) {
    Buffer masked = stranger.datagram(stranger.call(net.now, home), {}, 300);
    mask.mask(masked);
    EXPECT_EQ(answers(socket, masked), socket == kListenSocket ? 1 : 0);
  }
}

TEST_F(Phones, MayOnlySendFromTheInsideAddress) {
  App& app = new_app();
  add(app);
  ask(app);
  run_for(2s);
  ASSERT_EQ(exit().exit.size(), 1u);
  for (const char* other : {"10.10.0.3", "10.10.128.1", "192.168.1.7", "198.51.100.200", "0.0.0.0", "127.0.0.1"})
    app.send(udp_packet(other, kSite, 64));
  app.send(udp_packet("2001:db8::7", "2001:db8::1", 64));
  run_for(1s);
  EXPECT_EQ(exit().exit.size(), 1u);
  EXPECT_EQ(refused(encryption::Drop::not_allowed_ip), 7u);
  EXPECT_EQ(groups(), 1u);
}

TEST_F(Phones, WithoutACircuitTheirPacketsWaitAndGoNowhereElse) {
  App& app = new_app();
  add(app);
  for (auto& [name, h] : net.hosts) h->dead = h->config.relay.has_value();
  run_for(60s);  // circuits die
  left.clear();
  for (size_t i = 0; i < kMaxWaiting + 5; i++) ask(app);
  run_for(5s);
  std::set<IpAddress> relays;
  for (auto& [name, h] : net.hosts) {
    if (h->config.relay) relays.insert(h->address);
  }
  for (const Endpoint& e : left) EXPECT_TRUE(e == app.at || relays.contains(e.address));
  ASSERT_EQ(groups(), 1u);
  EXPECT_EQ(net.client().node->client()->groups().begin()->second.waiting.size(), kMaxWaiting);
  EXPECT_TRUE(app.packets.empty());
  for (auto& [name, h] : net.hosts) h->dead = false;
  run_for(60s);
  EXPECT_EQ(exit().exit.size(), kMaxWaiting);
}

TEST_F(Phones, EachHasACircuitAndALeaseOfItsOwnUnderTheSameAddress) {
  App& a = new_app("198.51.100.200");
  App& b = new_app("198.51.100.201");
  const TunId tun_a = add(a), tun_b = add(b);
  ask(a, 100);
  ask(b, 200);
  run_for(4s);
  const Circuit *ca = net.active(net.client(), tun_a), *cb = net.active(net.client(), tun_b);
  ASSERT_TRUE(ca != nullptr && cb != nullptr);
  EXPECT_NE(ca->lease, cb->lease);
  EXPECT_NE(ca->exit().our_key, cb->exit().our_key);
  ASSERT_EQ(exit().exit.size(), 2u);
  EXPECT_NE(source_of(exit().exit[0]), source_of(exit().exit[1]));
  for (const auto& p : std::vector(exit().exit)) answer(p);
  run_for(1s);
  ASSERT_EQ(a.packets.size(), 1u);
  ASSERT_EQ(b.packets.size(), 1u);
  EXPECT_EQ(a.packets[0].size(), 128u);
  EXPECT_EQ(b.packets[0].size(), 228u);
}

TEST_F(Phones, ARemovedOneIsNotAnsweredAndItsLeaseIsGivenBack) {
  App& app = new_app();
  const TunId tun = add(app);
  ask(app);
  run_for(2s);
  ASSERT_EQ(exit().node->exit()->leases(), 2u);  // and that of a spare
  remove(tun);
  run_for(1s);
  EXPECT_EQ(exit().node->exit()->leases(), 1u);
  EXPECT_EQ(groups(), 0u);
  const size_t heard = app.datagrams.size(), came = exit().exit.size();
  for (int i = 0; i < 30; i++) {
    ask(app);
    run_for(1s);
  }
  EXPECT_EQ(app.datagrams.size(), heard);
  EXPECT_EQ(exit().exit.size(), came);
  remove(tun);  // again: harmless
  EXPECT_EQ(add(app), TunId{tun.value + 1});
  run_for(10s);
  ask(app);
  run_for(3s);
  EXPECT_GT(exit().exit.size(), came);
  net.check_all();
}

TEST_F(Phones, AStrangerOrAWrongPresharedKeyIsNotAnswered) {
  App& stranger = new_app("198.51.100.200");
  App& wrong = new_app("198.51.100.201");
  Phone p = wrong.phone();
  p.preshared.fill()[0] ^= 1;
  net.command(net.client(), [&](Node& n, Effects& fx) { ASSERT_TRUE(n.add_phone(net.now, p, fx).ok()); });
  ask(stranger);
  ask(wrong);
  run_for(20s);
  EXPECT_TRUE(stranger.datagrams.empty());
  EXPECT_FALSE(stranger.has_session());
  EXPECT_FALSE(wrong.has_session());
  EXPECT_EQ(groups(), 0u);
}

TEST_F(Phones, AGroupComesWithTheFirstPacketAndGoesWhenIdle) {
  App& app = new_app();
  add(app);
  EXPECT_EQ(groups(), 0u);
  EXPECT_EQ(net.client().node->state(), controller::State::connected);
  ask(app);
  run_for(2s);
  EXPECT_EQ(groups(), 1u);
  EXPECT_EQ(net.client().node->state(), controller::State::connected);
  run_for(kSlotForgotten + 1min);
  EXPECT_EQ(groups(), 0u);
  ask(app);
  run_for(5s);
  EXPECT_EQ(exit().exit.size(), 2u);
}

TEST_F(Phones, NewOnesDoNotUnprotectTheOthers) {
  net.connect(net.client(), TunId{1});
  run_for(2s);
  const size_t before = net.count<StateChanged>(net.client());
  for (int i = 0; i < 3; i++) add(new_app("198.51.100." + std::to_string(200 + i)));
  for (auto& a : apps) ask(*a);
  run_for(5s);
  EXPECT_EQ(exit().exit.size(), 3u);
  EXPECT_EQ(net.count<StateChanged>(net.client()), before);
}

TEST_F(Phones, AreBoundedAndEachKeyIsTakenOnce) {
  App& first = new_app();
  add(first);
  const auto refusal = [&](const Phone& p) {
    std::string why;
    net.command(net.client(), [&](Node& n, Effects& fx) {
      if (const auto added = n.add_phone(net.now, p, fx); !added.ok()) why = added.error().message;
    });
    return why;
  };
  EXPECT_NE(refusal(first.phone()), "");
  EXPECT_NE(refusal({net.client().config.wireguard.pub, {}}), "");
  SeededRng rng(9);
  for (size_t i = 1; i < kMaxPhones; i++) EXPECT_EQ(refusal({crypto::x25519_generate(rng).pub, {}}), "");
  EXPECT_NE(refusal({crypto::x25519_generate(rng).pub, {}}), "");
  EXPECT_EQ(net.client().node->phones().size(), kMaxPhones);
  net.check_all();
}

TEST_F(Phones, AreToldWhenAPacketIsTooLongForTheirCircuit) {
  App& app = new_app();
  const TunId tun = add(app);
  ask(app);
  run_for(2s);
  const uint16_t mtu = net.active(net.client(), tun)->mtu();
  ASSERT_GE(mtu, kPhoneMtu);
  ask(app, mtu - 28u);
  run_for(1s);
  EXPECT_EQ(exit().exit.size(), 2u);
  EXPECT_TRUE(app.packets.empty());
  ask(app, mtu - 27u);
  run_for(1s);
  EXPECT_EQ(exit().exit.size(), 2u);
  ASSERT_EQ(app.packets.size(), 1u);
  const auto h = routing::parse_ip(app.packets[0]);
  ASSERT_TRUE(h.ok());
  EXPECT_EQ(h->protocol, routing::IpProtocol::icmp);
  EXPECT_EQ(h->icmp_type, 3);
  EXPECT_EQ(load_be16(&app.packets[0][26]), mtu);
}

TEST_F(Phones, AHopMovesThemAndKeepsTheirLease) {
  App& app = new_app();
  const TunId tun = add(app);
  ask(app);
  run_for(2s);
  const CircuitId before = net.active(net.client(), tun)->id;
  net.hop(net.client());
  run_for(5s);
  EXPECT_NE(net.active(net.client(), tun)->id, before);
  EXPECT_EQ(net.count<LeaseMoved>(net.client()), 1u);
  ask(app);
  run_for(1s);
  ASSERT_EQ(exit().exit.size(), 2u);
  EXPECT_EQ(source_of(exit().exit[0]), source_of(exit().exit[1]));
}

TEST_F(Phones, ComeBackByThemselvesAfterARestartOfTheNode) {
  App& app = new_app();
  add(app);
  ask(app);
  run_for(2s);
  net.restart(net.client());
  net.publish();
  add(app);
  const size_t came = exit().exit.size();
  for (int i = 0; i < 25; i++) {
    ask(app);
    run_for(1s);
  }
  EXPECT_GT(exit().exit.size(), came);
}

TEST_F(Phones, AHostileExitCannotConnectToThem) {
  App& app = new_app();
  add(app);
  ask(app);
  run_for(2s);
  PacketPool pool;
  const auto whisper = [&](const std::string& to, uint8_t flags) {
    Packet p = pool.take();
    const MutBytes t =
        routing::start_ip(*IpAddress::parse(kSite), *IpAddress::parse(to), routing::IpProtocol::tcp, 20, p);
    t[12] = 5 << 4;
    t[13] = flags;
    routing::finish_ip(p);
    for (const PeerRef session : exit().node->tunnels().peers()) net.send_frame(exit(), session, p.bytes());
    run_for(1s);
    const size_t n = app.packets.size();
    app.packets.clear();
    return n;
  };
  EXPECT_EQ(whisper(kInside, routing::kTcpAck), 1u);  // so the whisper is heard
  EXPECT_EQ(whisper(kInside, routing::kTcpSyn), 0u);
  EXPECT_EQ(whisper("10.10.0.3", routing::kTcpAck), 0u);
}

TEST_F(Phones, ARelayTakesNone) {
  App& app = new_app();
  net.command(exit(), [&](Node& n, Effects& fx) { EXPECT_FALSE(n.add_phone(net.now, app.phone(), fx).ok()); });
}

}  // namespace
}  // namespace macrovpn::node
