// Leases belong to whoever holds their secret: a RESUME that was replayed, that is never confirmed, or that
// comes from somebody else moves nothing.
#include <gtest/gtest.h>

#include "core/node/hostile_world_test.h"
#include "core/routing/address_rewrite.h"

namespace macrovpn::node {
namespace {

constexpr TunId kTun{7};

struct Resume : testing::Test {
  Resume() {
    net.publish();
    const Circuit* c = net.connect(net.client(), kTun);
    MV_ASSERT(c != nullptr);
    exit = &net.host_of(c->exit());
    lease = c->lease;
    net.run_for(3s);
    number = number_now();
  }
  // Which private address the exit's packets of the client have.
  Buffer number_now() {
    exit->exit.clear();
    net.send_from_program(net.client(), kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
    net.run_for(200ms);
    if (exit->exit.empty()) return {};
    answer = exit->exit[0];
    std::swap_ranges(answer.begin() + 12, answer.begin() + 16, answer.begin() + 16);
    return {exit->exit[0].begin() + 12, exit->exit[0].begin() + 16};
  }
  bool answers_reach_the_client() {
    const size_t got = net.client().tun.size();
    net.send_from_exit(*exit, answer);
    net.run_for(200ms);
    return net.client().tun.size() == got + 1;
  }
  void expect_untouched() {
    EXPECT_EQ(number_now(), number);
    EXPECT_TRUE(answers_reach_the_client());
    EXPECT_EQ(net.active(net.client(), kTun)->lease, lease);
    net.check_all();
  }
  HostileNet net{{.spare_circuits = 0}, 3, 1};
  TestWorld::Host* exit = nullptr;
  routing::LeaseId lease{};
  Buffer number, answer;
};

// Each is work for the exit, and an answer: so many a session, and no more.
TEST_F(Resume, LeasesAreAnsweredOnlySoOften) {
  const Circuit* c = net.active(net.client(), kTun);
  size_t answers = 0;
  net.drop = [&](const TestWorld::Flight& f) {
    answers += f.from == exit;
    return false;
  };
  for (int i = 0; i < 300; i++) net.send_frame(net.client(), c->exit().peer, routing::write_lease({.mtu = 1376}));
  net.run_for(300ms);
  EXPECT_GT(answers, 10u);
  EXPECT_LT(answers, 40u);
  net.drop = {};
  net.run_for(2s);
  expect_untouched();
}

TEST_F(Resume, ThatIsNeverConfirmedMovesNothing) {
  // The new circuit's answers never reach the client; its build did reach the exit.
  size_t to_exit = 0;
  net.drop = [&](const TestWorld::Flight& f) {
    to_exit += f.to == exit;
    return f.from == exit && f.bytes.size() < 200;
  };
  const size_t sessions = exit->node->tunnels().ephemeral_count();
  net.hop(net.client());
  net.run_for(200ms);
  net.drop = {};
  EXPECT_GT(to_exit, 0u);
  EXPECT_GT(exit->node->tunnels().ephemeral_count(), sessions);
  EXPECT_EQ(exit->node->exit()->leases(), 1u);
  EXPECT_TRUE(answers_reach_the_client());
}

TEST_F(Resume, ThatIsReplayedMovesNothing) {
  std::vector<std::pair<Endpoint, Buffer>> builds;
  net.tap = [&](const TestWorld::Flight& f) {
    if (f.to != exit) return;
    Buffer d(f.bytes.begin(), f.bytes.end() - 1);
    if (net.mask_of(*exit).unmask(d) && d[0] == 1)
      builds.emplace_back(net.calls_from(*f.from), Buffer(f.bytes.begin(), f.bytes.end() - 1));
  };
  net.hop(net.client());
  net.run_for(5s);
  net.tap = {};
  ASSERT_EQ(builds.size(), 1u);
  expect_untouched();
  // At once, and after the caller's session lapsed, from the relay's port and from elsewhere.
  for (const Duration later : {Duration(0s), Duration(200s)}) {
    net.run_for(later);
    if (later != Duration::zero()) number_now();  // the client rebuilds what lapsed
    net.run_for(3s);
    const Buffer before = number_now();
    net.send_forged(builds[0].first, *exit, kListenSocket, builds[0].second);
    net.send_forged(*Endpoint::parse("192.0.2.200:9"), *exit, kListenSocket, builds[0].second);
    net.run_for(1s);
    EXPECT_EQ(number_now(), before);
    EXPECT_TRUE(answers_reach_the_client());
  }
  EXPECT_EQ(net.count<LeaseLost>(net.client()), 0u);
}

struct ThirdSession : Resume {
  ThirdSession() {
    thief = &net.add_client("thief", "192.0.2.66", {.spare_circuits = 0});
    net.now.wall += 1s;
    net.publish();
    circuit = net.connect(*thief, kTun);
    MV_ASSERT(circuit != nullptr && &net.host_of(circuit->exit()) == exit);
    net.run_for(3s);
  }
  // A refusal costs the thief his circuit, so each attempt is made in whichever he has then.
  void resume(const crypto::Mac16& mac) {
    const auto again = [&] {
      circuit = net.active(*thief, kTun);
      return circuit != nullptr && circuit->granted && &net.host_of(circuit->exit()) == exit;
    };
    ASSERT_TRUE(net.run_until(again, 60s));
    routing::LeaseFrame f;
    f.flags = routing::kLeaseResume;
    f.mtu = 1280;
    f.id = lease;
    f.resume_mac = mac;
    const uint64_t refused = exit->node->exit()->counters().refused;
    net.send_frame(*thief, circuit->exit().peer, routing::write_lease(f));
    net.run_for(500ms);
    EXPECT_EQ(exit->node->exit()->counters().refused, refused + 1);
  }
  TestWorld::Host* thief = nullptr;
  const Circuit* circuit = nullptr;
};

TEST_F(ThirdSession, WithoutTheSecretGetsNothing) {
  resume({});
  resume({1, 2, 3});
  expect_untouched();
}

// The MAC that the client itself once sent, or would send now, is worth nothing under another handshake.
TEST_F(ThirdSession, WithAMacOfAnotherHandshakeGetsNothing) {
  const Circuit* c = net.active(net.client(), kTun);
  const auto h1 = net.client().node->tunnels().info(c->exit().peer)->h1;
  resume(routing::resume_mac(c->lease_secret, net.network.id, h1));
  expect_untouched();
}

// A secret that leaked is worth nothing after the client resumed twice: the exit knows the newest and the one
// used last.
TEST_F(ThirdSession, WithAnOldSecretGetsNothing) {
  const Secret<32> old = net.active(net.client(), kTun)->lease_secret;
  for (int i = 0; i < 2; i++) {
    net.hop(net.client());
    net.run_for(5s);
  }
  net.run_for(200ms);
  const auto h1 = thief->node->tunnels().info(circuit->exit().peer)->h1;
  resume(routing::resume_mac(old, net.network.id, h1));
  expect_untouched();
}

TEST_F(ThirdSession, WithTheRightSecretOfAnotherNetworkGetsNothing) {
  const Circuit* c = net.active(net.client(), kTun);
  const auto h1 = thief->node->tunnels().info(circuit->exit().peer)->h1;
  resume(routing::resume_mac(c->lease_secret, NetworkId{{9}}, h1));
  expect_untouched();
}

// Who has the secret itself has the lease: the client is told by the exit, warns, and takes another one.
TEST_F(ThirdSession, WithTheStolenSecretIsNoticed) {
  const Circuit* c = net.active(net.client(), kTun);
  routing::LeaseFrame f;
  f.flags = routing::kLeaseResume;
  f.mtu = 1280;
  f.id = lease;
  const auto h1 = thief->node->tunnels().info(circuit->exit().peer)->h1;
  f.resume_mac = routing::resume_mac(c->lease_secret, net.network.id, h1);
  const size_t warnings = net.count<Warning>(net.client());
  net.send_frame(*thief, circuit->exit().peer, routing::write_lease(f));
  net.run_for(10s);
  EXPECT_EQ(net.count<Warning>(net.client()), warnings + 1);
  EXPECT_EQ(net.count<LeaseLost>(net.client()), 1u);
  ASSERT_NE(net.active(net.client(), kTun), nullptr);
  EXPECT_NE(net.active(net.client(), kTun)->lease, lease);
  EXPECT_NE(number_now(), number);
  net.check_all();
}

TEST_F(ThirdSession, CannotReleaseALeaseOfAnother) {
  net.send_frame(*thief, circuit->exit().peer, routing::write_lease_id(routing::FrameType::release, lease));
  net.run_for(1s);
  EXPECT_EQ(exit->node->exit()->leases(), 2u);
  expect_untouched();
}

}  // namespace
}  // namespace macrovpn::node
