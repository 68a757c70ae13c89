// Each checker sees the bug that it is there for: planted here in what a host sends, or in what the checker is told.
#include "sim/check/checker.h"

#include <gtest/gtest.h>

#include "core/routing/address_rewrite.h"
#include "core/routing/ip_reply.h"
#include "sim/net/topology.h"

namespace macrovpn::sim {
namespace {

using node::Datagram;

// Six relays, two exits, a server and a client, 20 ms apart.
struct SmallWorld {
  SmallWorld() : world(config()) {
    SeededRng rng(1);
    Topology topology({}, rng);
    for (int i = 0; i < 9; i++) {
      HostSpec spec;
      spec.kind = i < 6 ? HostKind::relay : i < 8 ? HostKind::exit : HostKind::client;
      spec.name = std::string(to_string(spec.kind)) + " " + std::to_string(i);
      spec.address = topology.assign(static_cast<size_t>(i)).v4;
      if (spec.kind == HostKind::client) spec.client = node::ClientConfig{};
      ids.push_back(world.add_host(spec));
    }
    HostSpec server;
    server.kind = HostKind::server;
    server.address = topology.assign_site();
    server.name = "server";
    ids.push_back(world.add_host(server));
  }
  static WorldConfig config() {
    WorldConfig c;
    c.flat = 20ms;
    c.network.extra_global = Topology::extra_global();
    c.network.guard_age = Duration::zero();
    return c;
  }
  HostId relay(size_t i) const { return ids[i]; }
  HostId client() const { return ids[8]; }
  const Host& server() const { return world.host(ids[9]); }
  std::string failed_checker() const { return world.failure() ? world.failure()->checker : ""; }

  World world;
  std::vector<HostId> ids;
};

struct Changes : Mischief {
  explicit Changes(std::function<void(World&, Host&, Datagram&)> f) : change(std::move(f)) {}
  const char* name() const override { return "is broken"; }
  Verdict leaves(World& w, Host& h, Datagram& d) override {
    change(w, h, d);
    return {};
  }
  std::function<void(World&, Host&, Datagram&)> change;
};

std::vector<uint8_t> program_packet(const IpAddress& to) {
  PacketPool pool;
  Packet p = pool.take();
  const MutBytes udp = routing::start_ip(routing::InsideAddresses::get().client4, to, routing::IpProtocol::udp, 108, p);
  store_be16(&udp[0], 5000);
  store_be16(&udp[2], 7000);
  store_be16(&udp[4], 108);
  routing::finish_ip(p);
  return {p.bytes().begin(), p.bytes().end()};
}

TEST(Checkers, AreQuietWhereNothingIsWrong) {
  SmallWorld s;
  const auto all = all_checkers({});
  for (const auto& c : all) s.world.watch(*c);
  s.world.start();
  s.world.run_for(90s);
  EXPECT_FALSE(s.world.failure()) << s.world.failure()->seen;
  EXPECT_TRUE(s.world.host(s.client()).node->client()->protects());
}

TEST(Checkers, PlaintextSeesAPacketInsideOfADatagram) {
  SmallWorld s;
  const auto c = make_plaintext_checker();
  s.world.watch(*c);
  const auto packet = program_packet(s.server().address);
  s.world.set_mischief(s.relay(2), std::make_unique<Changes>([&](World&, Host&, Datagram& d) {
    if (d.packet.size() < packet.size() + 7) return;
    std::copy(packet.begin(), packet.end(), d.packet.data() + 7);
  }));
  s.world.start();
  s.world.run_for(60s);
  EXPECT_EQ(s.failed_checker(), "plaintext");
}

TEST(Checkers, PlaintextSeesAnIPv6PacketToo) {
  SmallWorld s;
  const auto c = make_plaintext_checker();
  s.world.watch(*c);
  PacketPool pool;
  Packet p = pool.take();
  routing::start_ip(*IpAddress::parse("2001:db8::1"), routing::InsideAddresses::get().client6, routing::IpProtocol::udp, 60, p);
  s.world.set_mischief(s.relay(2), std::make_unique<Changes>([&](World&, Host&, Datagram& d) {
    if (d.packet.size() < p.size() + 7) return;
    std::copy(p.bytes().begin(), p.bytes().end(), d.packet.data() + 7);
  }));
  s.world.start();
  s.world.run_for(60s);
  EXPECT_EQ(s.failed_checker(), "plaintext");
}

TEST(Checkers, BothEndsSeesAnExitThatSawTheClient) {
  SmallWorld s;
  s.world.start();
  s.world.run_for(5s);
  const auto c = make_both_ends_checker();
  const Host &client = s.world.host(s.client()), &exit = s.world.host(s.ids[6]), &guard = s.world.host(s.relay(0));
  auto packet = program_packet(s.server().address);
  const auto leaves_an_exit = [&] {
    auto out = packet;
    EXPECT_TRUE(routing::rewrite_to_private(out, {5}).ok());
    c->exit_sent(s.world, exit, out);
  };
  c->program_sent(s.world, client, packet);
  c->reaches(s.world, {guard, kListenSocket, {client.address, kListenPort}, {}});
  leaves_an_exit();
  EXPECT_FALSE(s.world.failure());
  c->reaches(s.world, {exit, kListenSocket, {client.address, kListenPort}, {}});
  leaves_an_exit();
  EXPECT_EQ(s.failed_checker(), "both_ends");
}

TEST(Checkers, NonceSeesACounterAgain) {
  SmallWorld s;
  const auto c = make_nonce_checker();
  const Host &a = s.world.host(s.relay(0)), &b = s.world.host(s.relay(1));
  const Secret<32> key(ByteArray<32>{1}), other(ByteArray<32>{2});
  for (uint64_t n = 0; n < 5; n++) c->seals(s.world, a, key, n);
  c->seals(s.world, b, other, 0);
  EXPECT_FALSE(s.world.failure());
  c->seals(s.world, a, key, 4);
  EXPECT_EQ(s.failed_checker(), "nonce");
}

TEST(Checkers, NonceSeesAKeyThatTwoHostsSealWith) {
  SmallWorld s;
  const auto c = make_nonce_checker();
  const Secret<32> key(ByteArray<32>{1});
  c->seals(s.world, s.world.host(s.relay(0)), key, 0);
  c->seals(s.world, s.world.host(s.relay(1)), key, 1);
  EXPECT_EQ(s.failed_checker(), "nonce");
}

TEST(Checkers, NonceSeesAKeyOfAHandshakeAgain) {
  SmallWorld s;
  const auto c = make_nonce_checker();
  const Host& a = s.world.host(s.relay(0));
  const Secret<32> first(ByteArray<32>{1}), second(ByteArray<32>{2});
  c->seals_once(s.world, a, first);
  c->seals_once(s.world, a, second);
  EXPECT_FALSE(s.world.failure());
  c->seals_once(s.world, a, first);
  EXPECT_EQ(s.failed_checker(), "nonce");
}

TEST(Checkers, NonceIsToldOfHandshakesAndSessions) {
  SmallWorld s;
  const auto c = make_nonce_checker();
  s.world.watch(*c);
  s.world.start();
  s.world.run_for(10s);
  // Two circuits of three hops: an initiation seals twice, an answer once, early data once.
  unsigned messages = 0, parts = 0;
  ASSERT_EQ(std::sscanf(c->looked_at().c_str(), "%u messages and %u parts", &messages, &parts), 2) << c->looked_at();
  EXPECT_GE(parts, 5u * 4);
  EXPECT_GT(messages, 10u);
}

TEST(Checkers, LeakSeesADatagramToSomebodyElse) {
  SmallWorld s;
  const auto c = make_leak_checker();
  s.world.watch(*c);
  s.world.set_mischief(s.client(), std::make_unique<Changes>([&](World&, Host&, Datagram& d) {
    d.remote = {s.server().address, 443};
  }));
  s.world.start();
  s.world.run_for(10s);
  EXPECT_EQ(s.failed_checker(), "leak");
}

TEST(Checkers, TablesSeesOneBeyondItsLimit) {
  SmallWorld s;
  const auto c = make_table_checker();
  s.world.watch(*c);
  for (size_t i = 0; i < 8; i++) s.world.host(s.ids[i]).config.tunnels.ephemeral_peers = 10;
  s.world.start();
  s.world.run_for(10s);
  EXPECT_FALSE(s.world.failure());
  for (size_t i = 0; i < 8; i++) s.world.host(s.ids[i]).config.tunnels.ephemeral_peers = 0;  // what the checker goes by
  s.world.hop(s.client());
  s.world.run_for(10s);
  EXPECT_EQ(s.failed_checker(), "tables");
}

TEST(Checkers, AmplificationSeesAnAnswerThatIsTooLong) {
  SmallWorld s;
  const auto c = make_amplification_checker();
  s.world.watch(*c);
  for (size_t i = 0; i < 6; i++) {
    s.world.set_mischief(s.relay(i), std::make_unique<Changes>([&](World&, Host&, Datagram& d) {
      if (d.socket == kListenSocket && d.packet.size() < 1300) d.packet.push_back(std::min(d.packet.tailroom(), size_t{700}));
    }));
  }
  s.world.start();
  s.world.run_for(20s);
  EXPECT_EQ(s.failed_checker(), "amplification");
}

// Each handshake for itself: a caller that has proved itself once is not free for ever.
TEST(Checkers, AmplificationCountsTheNewHandshakesOfAKnownCallerToo) {
  SmallWorld s;
  const auto c = make_amplification_checker();
  s.world.watch(*c);
  s.world.start();
  for (int i = 0; i < 20; i++) {
    s.world.hop(s.client());
    s.world.run_for(1s);
  }
  EXPECT_FALSE(s.world.failure());
  for (size_t i = 0; i < 8; i++) {
    s.world.set_mischief(s.ids[i], std::make_unique<Changes>([&](World&, Host&, Datagram& d) {
      if (d.socket == kListenSocket && d.packet.size() % 16 != 0 && d.packet.size() < 300) d.packet.push_back(500);
    }));
  }
  for (int i = 0; i < 10; i++) {
    s.world.hop(s.client());
    s.world.run_for(1s);
  }
  EXPECT_EQ(s.failed_checker(), "amplification");
}

TEST(Checkers, MemorySeesAnIdleNodeThatIsTooLarge) {
  SmallWorld s;
  const auto c = make_memory_checker(1000);
  s.world.watch(*c);
  s.world.start();
  s.world.run_for(1s);
  if (c->looked_at().starts_with("nothing")) GTEST_SKIP() << "a sanitizer has the allocator";
  EXPECT_EQ(s.failed_checker(), "memory");
}

TEST(Checkers, RecoverySeesAClientWithoutACircuit) {
  SmallWorld s;
  const auto c = make_recovery_checker(15s);
  s.world.watch(*c);
  s.world.start();
  s.world.run_for(20s);
  EXPECT_FALSE(s.world.failure());
  for (size_t i = 0; i < 6; i++) s.world.crash(s.relay(i));
  s.world.trouble_until(s.world.now().mono + 30s);
  s.world.run_for(44s);
  EXPECT_FALSE(s.world.failure());
  s.world.run_for(10s);
  EXPECT_EQ(s.failed_checker(), "recovery");
}

// A program that asks each second, for so long, and is answered as given.
std::string asked(const std::vector<uint8_t>& question, bool is_answered) {
  SmallWorld s;
  const auto c = make_recovery_checker(15s);
  s.world.watch(*c);
  s.world.start();
  s.world.run_for(20s);
  const Host& client = s.world.host(s.client());
  for (int i = 0; i < 40 && !s.world.failure(); i++) {
    c->program_sent(s.world, client, question);
    if (is_answered) c->program_got(s.world, client, program_packet(s.server().address));
    s.world.run_for(1s);
  }
  return s.failed_checker();
}

TEST(Checkers, RecoverySeesAClientWhoseQuestionsAreNotAnswered) {
  const SmallWorld s;
  EXPECT_EQ(asked(program_packet(s.server().address), false), "recovery");
  EXPECT_EQ(asked(program_packet(s.server().address), true), "");
}

TEST(Checkers, RecoveryExpectsNoAnswerToAnAcknowledgement) {
  const SmallWorld s;
  PacketPool pool;
  Packet p = pool.take();
  const auto tcp = [&](uint8_t flags) {
    const MutBytes b = routing::start_ip(routing::InsideAddresses::get().client4, s.server().address, routing::IpProtocol::tcp, 20, p);
    store_be16(&b[0], 5000), store_be16(&b[2], 443);
    b[12] = 0x50, b[13] = flags;
    routing::finish_ip(p);
    return std::vector<uint8_t>(p.bytes().begin(), p.bytes().end());
  };
  EXPECT_EQ(asked(tcp(routing::kTcpAck), false), "");
  EXPECT_EQ(asked(tcp(routing::kTcpSyn), false), "recovery");
}

}  // namespace
}  // namespace macrovpn::sim
