// Session indexes that collide on purpose: one caller must not come into another one's answers.
#include <gtest/gtest.h>

#include "core/node/hostile_world_test.h"

namespace macrovpn::node {
namespace {

constexpr TunId kTun{7};

struct Collision : testing::Test {
  // Victim and thief use the same guard and middle.
  Collision() {
    const ClientConfig config{.hops = 3,
                              .pinned_path = {net.id_of(*net.hosts["r0"]), net.id_of(*net.hosts["r1"]),
                                              net.id_of(*net.hosts["e0"])},
                              .spare_circuits = 0};
    net.client().config.client = config;
    net.restart(net.client());
    thief = &net.add_client("thief", "192.0.2.66", config);
    net.publish();
  }
  // The sender index of the initiation that the guard sends to the middle.
  uint32_t index_on_the_wire(const std::function<void()>& cause) {
    uint32_t index = 0;
    net.tap = [&](const TestWorld::Flight& f) {
      if (f.from != &guard || f.to != &middle || index != 0) return;
      Buffer d(f.bytes.begin(), f.bytes.end() - 1);
      if (net.mask_of(middle).unmask(d) && d[0] == 1) index = load_le32(&d[4]);
    };
    cause();
    net.tap = {};
    return index;
  }
  void extend_with(TestWorld::Host& who, PeerRef session, uint32_t index, uint32_t leg) {
    ByteArray<148> message{1};
    store_le32(&message[4], index);
    net.send_frame(who, session,
                   routing::write_extend(net.id_of(middle), 0, routing::write_element(message, {leg}, {})));
    net.run_for(100ms);
  }
  bool works(TestWorld::Host& who) {
    const size_t before = net.hosts["e0"]->exit.size();
    net.send_from_program(who, kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
    net.run_for(200ms);
    if (net.hosts["e0"]->exit.size() != before + 1) return false;
    Buffer answer = net.hosts["e0"]->exit.back();
    std::swap_ranges(answer.begin() + 12, answer.begin() + 16, answer.begin() + 16);
    const size_t got = who.tun.size();
    net.send_from_exit(*net.hosts["e0"], answer);
    net.run_for(200ms);
    return who.tun.size() == got + 1;
  }
  HostileNet net;
  TestWorld::Host& guard = *net.hosts["r0"];
  TestWorld::Host& middle = *net.hosts["r1"];
  TestWorld::Host* thief = nullptr;
};

TEST_F(Collision, AnIndexThatIsTakenIsRefusedAndItsOwnerGoesOn) {
  const Circuit* c = nullptr;
  const uint32_t index = index_on_the_wire([&] { c = net.connect(net.client(), kTun); });
  ASSERT_NE(c, nullptr);
  ASSERT_NE(index, 0u);
  const Circuit* t = net.connect(*thief, kTun);
  ASSERT_NE(t, nullptr);
  net.run_for(3s);
  const uint64_t refused = guard.node->relay()->counters().refused, extended = HostileNet::extended(guard);
  for (uint32_t i = 0; i < 10; i++) extend_with(*thief, t->hops[0].peer, index, 600'000 + i);
  EXPECT_EQ(guard.node->relay()->counters().refused, refused + 10);
  EXPECT_EQ(HostileNet::extended(guard), extended);
  EXPECT_TRUE(works(net.client()));
  EXPECT_TRUE(works(*thief));
  net.check_all();
}

// Between the initiation and its answer, which is when it would be worth something.
TEST_F(Collision, ARaceForAnIndexIsWonByTheFirst) {
  const Circuit* t = net.connect(*thief, kTun);
  ASSERT_NE(t, nullptr);
  net.run_for(3s);
  const uint64_t refused = guard.node->relay()->counters().refused;
  const uint32_t index = index_on_the_wire([&] {
    net.attach(net.client(), kTun);
    net.run_for(21ms);  // the guard has just called the middle
  });
  ASSERT_NE(index, 0u);
  extend_with(*thief, t->hops[0].peer, index, 600'000);
  EXPECT_EQ(guard.node->relay()->counters().refused, refused + 1);
  net.run_for(2s);
  ASSERT_NE(net.active(net.client(), kTun), nullptr);
  EXPECT_TRUE(works(net.client()));
}

// The index of a session of the guard itself, which the thief saw on the wire: the guard's own sessions are
// looked up first, so the thief loses his answer and nobody else anything.
TEST_F(Collision, AnIndexOfTheGuardsOwnSessionHurtsNobody) {
  uint32_t own = 0;
  net.tap = [&](const TestWorld::Flight& f) {
    if (f.from != &net.client() || f.to != &guard) return;
    Buffer d(f.bytes.begin(), f.bytes.end() - 1);
    if (net.mask_of(guard).unmask(d) && d[0] == 4) own = load_le32(&d[4]);
  };
  ASSERT_NE(net.connect(net.client(), kTun), nullptr);
  net.tap = {};
  ASSERT_NE(own, 0u);
  const Circuit* t = net.connect(*thief, kTun);
  ASSERT_NE(t, nullptr);
  net.run_for(3s);
  Stranger s(4);
  const auto call = s.call(net.now, middle);
  ByteArray<148> message = call.initiation.message;
  store_le32(&message[4], own);
  Buffer whole(message.begin(), message.end());
  HostileNet::fix_mac1(middle, whole);
  net.send_frame(*thief, t->hops[0].peer,
                 routing::write_extend(net.id_of(middle), 0, routing::write_element(whole, {600'000}, {})));
  net.run_for(200ms);
  EXPECT_TRUE(works(net.client()));
  EXPECT_TRUE(works(*thief));
}

// Answers are matched by the endpoint that was called, too: another relay that knows the index is not heard.
TEST_F(Collision, AnAnswerFromElsewhereIsDropped) {
  net.drop = [&](const TestWorld::Flight& f) {
    return f.from == &middle;
  };  // the middle's answers are held back
  const uint32_t index = index_on_the_wire([&] {
    net.attach(net.client(), kTun);
    net.run_for(100ms);
  });
  ASSERT_NE(index, 0u);
  const uint64_t up = guard.node->relay()->counters().forwarded_up,
                 dropped = guard.node->relay()->counters().dropped;
  auto& hostile = *net.hosts["r2"];
  Buffer answer(92);
  answer[0] = 2;
  store_le32(&answer[8], index);
  for (const uint16_t port : {uint16_t{51820}, uint16_t{51821}, uint16_t{7}}) {
    net.send_forged({hostile.address, port}, guard, kEgressSocket, answer);
    net.send_forged({middle.address, static_cast<uint16_t>(port + 7)}, guard, kEgressSocket, answer);
  }
  net.run_for(100ms);
  EXPECT_EQ(guard.node->relay()->counters().forwarded_up, up);
  EXPECT_EQ(guard.node->relay()->counters().dropped, dropped + 6);
}

}  // namespace
}  // namespace macrovpn::node
