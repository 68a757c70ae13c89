// Isolation groups that share a device: told apart by their local source address (group_id.h).
#include <gtest/gtest.h>

#include "core/node/node_world_test.h"
#include "core/routing/address_rewrite.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::node {
namespace {

constexpr TunId kTun{7};
const std::string kSite = "192.0.2.1";

std::string text(uint16_t slot) {
  return address_of_slot(slot, IpFamily::v4).reveal();
}

IpAddress address_in(Bytes packet, size_t at) {
  return IpAddress::v4(load_be32(&packet[at]));
}

struct Groups : testing::Test {
  TestWorld net;
  TestWorld::Host* client = nullptr;

  void SetUp() override {
    for (int i = 0; i < 4; i++)
      net.add_relay("r" + std::to_string(i), "198.51.100." + std::to_string(10 + 16 * i), false);
    net.add_relay("exit", "203.0.113.10", true);
    client = &net.add_client("client", "192.0.2.50", {.spare_circuits = 0});
    net.publish();
  }
  void connect(Slots slots) {
    net.attach(*client, kTun, slots);
    ASSERT_TRUE(net.run_until([&] { return ready(0); }, 20s));
  }
  bool ready(uint16_t slot) {
    const Circuit* c = net.active(*client, kTun, slot);
    return c != nullptr && c->granted;
  }
  void send(uint16_t slot) { net.send_from_program(*client, kTun, udp_packet(text(slot), kSite, 64)); }
  TestWorld::Host& exit() { return *net.hosts["exit"]; }
  size_t groups() { return client->node->client()->groups().size(); }
};

TEST(GroupId, AddressesOfSlotsLeadBackToThem) {
  for (const uint16_t slot : {0, 1, 255, 256, 0x7fff}) {
    EXPECT_EQ(slot_of_address(address_of_slot(slot, IpFamily::v4)), slot);
    EXPECT_EQ(slot_of_address(address_of_slot(slot, IpFamily::v6)), slot);
  }
  EXPECT_EQ(address_of_slot(1, IpFamily::v4), *IpAddress::parse("10.10.128.1"));
  EXPECT_EQ(address_of_slot(0x7fff, IpFamily::v4), *IpAddress::parse("10.10.255.255"));
  EXPECT_EQ(address_of_slot(0x102, IpFamily::v6), *IpAddress::parse("fd86:ea04:1115::1:102"));
  for (const char* other : {"10.10.128.0", "10.10.127.255", "10.11.0.0", "10.10.0.1", "192.0.2.1",
                            "fd86:ea04:1115::1:0", "fd86:ea04:1115::1:8000", "fd86:ea04:1115::2:1", "fe80::1"})
    EXPECT_EQ(slot_of_address(*IpAddress::parse(other)), std::nullopt) << other;
}

TEST_F(Groups, EachSlotHasACircuitAndALeaseOfItsOwn) {
  connect(Slots::many);
  for (const uint16_t slot : {1, 2}) {
    send(slot);
    ASSERT_TRUE(net.run_until([&] { return ready(slot); }, 20s));
  }
  const Circuit *a = net.active(*client, kTun, 1), *b = net.active(*client, kTun, 2);
  EXPECT_NE(a->id, b->id);
  EXPECT_NE(a->lease, b->lease);
  EXPECT_NE(a->hops.back().our_key, b->hops.back().our_key);
  net.run_for(1s);
  ASSERT_EQ(exit().exit.size(), 2u);  // the first packets waited and were sent
  EXPECT_NE(address_in(exit().exit[0], 12), address_in(exit().exit[1], 12));
}

TEST_F(Groups, AnAnswerComesBackToTheSlotThatAsked) {
  connect(Slots::many);
  send(0x1234);
  ASSERT_TRUE(net.run_until([&] { return !exit().exit.empty(); }, 20s));
  std::vector<uint8_t> answer = exit().exit[0];
  std::swap_ranges(answer.begin() + 12, answer.begin() + 16, answer.begin() + 16);
  client->tun.clear();
  net.send_from_exit(exit(), answer);
  net.run_for(1s);
  ASSERT_EQ(client->tun.size(), 1u);
  EXPECT_EQ(address_in(client->tun[0], 16), address_of_slot(0x1234, IpFamily::v4));
  EXPECT_TRUE(routing::parse_ip(client->tun[0]).ok());
  EXPECT_EQ(routing::internet_checksum(Bytes(client->tun[0]).first(20)), 0);
}

std::vector<uint8_t> tcp_packet(const std::string& from, const IpAddress& to, uint8_t flags) {
  PacketPool pool;
  Packet p = pool.take();
  const MutBytes t = routing::start_ip(*IpAddress::parse(from), to, routing::IpProtocol::tcp, 20, p);
  t[12] = 5 << 4;
  t[13] = flags;
  routing::finish_ip(p);
  return {p.bytes().begin(), p.bytes().end()};
}

// The kernel would answer with a reset from that group's address, through that group's exit: both exits then know that
// the groups are one client's.
TEST_F(Groups, AHostileExitCannotNameAnotherGroup) {
  connect(Slots::many);
  client->tun.clear();
  const auto sessions = exit().node->tunnels().peers();
  ASSERT_EQ(sessions.size(), 1u);
  const auto whisper = [&](const std::vector<uint8_t>& packet) {
    net.send_frame(exit(), sessions[0], packet);  // as it stands: no rewriting by an honest exit
    net.run_for(1s);
    const size_t came = client->tun.size();
    client->tun.clear();
    return came;
  };
  using routing::kTcpAck, routing::kTcpSyn;
  const IpAddress own = address_of_slot(0, IpFamily::v4);
  EXPECT_EQ(whisper(tcp_packet(kSite, own, kTcpAck)), 1u);  // so the whisper is heard
  for (const char* other : {"10.10.128.1", "10.10.0.1", "10.10.0.3", "127.0.0.1", "192.168.1.1"})
    EXPECT_EQ(whisper(tcp_packet(kSite, *IpAddress::parse(other), kTcpAck)), 0u) << other;
  for (const char* other : {"fd86:ea04:1115::1:1", "fd86:ea04:1115::1", "fe80::1", "ff02::1"})
    EXPECT_EQ(whisper(tcp_packet("2001:db8::1", *IpAddress::parse(other), kTcpAck)), 0u) << other;
  EXPECT_EQ(groups(), 1u);
}

TEST_F(Groups, AHostileExitCannotConnectToWhatAProgramListensOn) {
  connect(Slots::only_own);
  client->tun.clear();
  const auto sessions = exit().node->tunnels().peers();
  ASSERT_EQ(sessions.size(), 1u);
  const IpAddress own = address_of_slot(0, IpFamily::v4);
  using routing::kTcpAck, routing::kTcpSyn;
  net.send_frame(exit(), sessions[0], tcp_packet(kSite, own, kTcpSyn));
  net.run_for(1s);
  EXPECT_EQ(client->tun.size(), 0u);
  net.send_frame(exit(), sessions[0], tcp_packet(kSite, own, kTcpSyn | kTcpAck));
  net.run_for(1s);
  EXPECT_EQ(client->tun.size(), 1u);
}

TEST_F(Groups, AllSlotsHaveCircuitsThroughOneGuard) {
  connect(Slots::many);
  for (uint16_t slot = 1; slot <= kMaxSlotGroups; slot++) send(slot);
  const auto all_ready = [&] {
    for (uint16_t slot = 1; slot <= kMaxSlotGroups; slot++) {
      if (!ready(slot)) return false;
    }
    return true;
  };
  EXPECT_TRUE(net.run_until(all_ready, 3min));
  net.hop(*client);
  EXPECT_TRUE(net.run_until([&] { return net.count<LeaseMoved>(*client) > kMaxSlotGroups; }, 3min));
  EXPECT_EQ(net.count<LeaseLost>(*client), 0u);
}

TEST_F(Groups, AProgramInABoxCannotMakeGroups) {
  connect(Slots::only_own);
  send(1);
  net.run_for(2s);
  EXPECT_EQ(groups(), 1u);
  EXPECT_TRUE(exit().exit.empty());
}

TEST_F(Groups, AreForgottenAfterTenMinutesWithoutPackets) {
  connect(Slots::many);
  send(1);
  ASSERT_TRUE(net.run_until([&] { return ready(1); }, 20s));
  net.run_for(kSlotForgotten - 1min);
  EXPECT_EQ(groups(), 2u);
  send(1);
  net.run_for(kSlotForgotten - 1min);
  EXPECT_EQ(groups(), 2u);
  net.run_for(2min);
  EXPECT_EQ(groups(), 1u);
  client->node->check_invariants();
}

// An ssh session at night: silent for two hours, and the exit must still know its lease.
TEST_F(Groups, AnOpenConnectionKeepsItsLeaseWhileNobodySpeaks) {
  connect(Slots::only_own);
  PacketPool pool;
  Packet p = pool.take();
  const MutBytes syn =
      routing::start_ip(address_of_slot(0, IpFamily::v4), *IpAddress::parse(kSite), routing::IpProtocol::tcp, 20, p);
  syn[12] = 5 << 4;
  syn[13] = 2;
  routing::finish_ip(p);
  net.send_from_program(*client, kTun, p.bytes());
  net.run_for(2h);
  const size_t before = exit().exit.size();
  send(0);
  net.run_for(1s);
  EXPECT_EQ(exit().exit.size(), before + 1);
  EXPECT_EQ(net.count<LeaseLost>(*client), 0u);
  EXPECT_EQ(net.count<LeaseMoved>(*client), 0u);  // nor did the circuit have to be built again
}

TEST_F(Groups, ACircuitWithoutConnectionsLapses) {
  connect(Slots::only_own);
  send(0);
  net.run_for(2h);
  const CircuitId before = net.active(*client, kTun)->id;
  send(0);
  net.run_for(10s);
  EXPECT_NE(net.active(*client, kTun)->id, before);
}

TEST_F(Groups, AreBoundedAndLeaveRoomForPrograms) {
  connect(Slots::many);
  for (uint16_t slot = 1; slot <= kMaxSlotGroups + 5; slot++) send(slot);
  EXPECT_EQ(groups(), 1 + kMaxSlotGroups);
  net.attach(*client, TunId{8});
  EXPECT_EQ(groups(), 2 + kMaxSlotGroups);
  net.detach(*client, kTun);
  EXPECT_EQ(groups(), 1u);
  client->node->check_invariants();
}

TEST_F(Groups, ADeviceOfAnotherUserHasFew) {
  connect(Slots::few);
  for (uint16_t slot = 1; slot <= kFewSlots + 5; slot++) send(slot);
  EXPECT_EQ(groups(), 1 + kFewSlots);
  net.attach(*client, TunId{8}, Slots::few);
  net.send_from_program(*client, TunId{8}, udp_packet(text(kFewSlots + 9), kSite, 64));
  EXPECT_EQ(groups(), 3 + kFewSlots);  // one device's share is not another's
  send(1);
  ASSERT_TRUE(net.run_until([&] { return ready(1) && ready(kFewSlots); }, 30s));
  EXPECT_NE(net.active(*client, kTun, 1)->id, net.active(*client, kTun, 2)->id);
}

TEST_F(Groups, ANewSlotDoesNotUnprotectTheOthers) {
  connect(Slots::many);
  send(1);
  EXPECT_EQ(client->node->state(), controller::State::connected);
}

TEST_F(Groups, AHopMovesAllGroupsOfTheDevice) {
  connect(Slots::many);
  send(1);
  ASSERT_TRUE(net.run_until([&] { return ready(1); }, 20s));
  const CircuitId own = net.active(*client, kTun)->id, first = net.active(*client, kTun, 1)->id;
  net.hop(*client);
  ASSERT_TRUE(net.run_until([&] { return net.count<LeaseMoved>(*client) == 2; }, 20s));
  EXPECT_NE(net.active(*client, kTun)->id, own);
  EXPECT_NE(net.active(*client, kTun, 1)->id, first);
}

}  // namespace
}  // namespace macrovpn::node
