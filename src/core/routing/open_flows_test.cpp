#include "core/routing/open_flows.h"

#include <gtest/gtest.h>

#include "core/routing/ip_reply.h"

namespace macrovpn::routing {
namespace {

constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;
using From = OpenFlows::From;

struct Flows : testing::TestWithParam<bool> {
  OpenFlows flows;
  IpAddress near_end = *IpAddress::parse(GetParam() ? "10.10.0.2" : "fd86:ea04:1115::2");
  IpAddress far_end = *IpAddress::parse(GetParam() ? "192.0.2.1" : "2001:db8::1");
  PacketPool pool;

  void pass(From from, uint8_t flags, uint16_t port = 1000) {
    Packet p = pool.take();
    const bool out = from == From::program;
    const MutBytes t = start_ip(out ? near_end : far_end, out ? far_end : near_end, IpProtocol::tcp, 20, p);
    store_be16(&t[out ? 0 : 2], port);
    store_be16(&t[out ? 2 : 0], 22);
    t[12] = 5 << 4;
    t[13] = flags;
    finish_ip(p);
    flows.on_packet(p.bytes(), from);
  }
};

TEST_P(Flows, OpenWithASynAndCloseWithBothFins) {
  pass(From::program, kSyn);
  pass(From::world, kSyn | kAck);
  pass(From::program, kAck);
  EXPECT_EQ(flows.size(), 1u);
  pass(From::program, kFin | kAck);
  EXPECT_TRUE(flows.any());
  pass(From::world, kFin | kAck);
  EXPECT_FALSE(flows.any());
}

TEST_P(Flows, CloseWithAResetOfEitherEnd) {
  for (const From from : {From::program, From::world}) {
    pass(From::program, kSyn);
    pass(from, kRst);
    EXPECT_FALSE(flows.any());
  }
}

TEST_P(Flows, AreNotOpenedByTheWorldOrByData) {
  pass(From::world, kSyn);
  pass(From::program, kAck);
  EXPECT_FALSE(flows.any());
}

TEST_P(Flows, AreToldApartByPort) {
  pass(From::program, kSyn, 1000);
  pass(From::program, kSyn, 1001);
  pass(From::world, kRst, 1000);
  EXPECT_EQ(flows.size(), 1u);
}

TEST_P(Flows, AreBoundedAndTheOldestGoesFirst) {
  for (size_t i = 0; i <= OpenFlows::kMax; i++) pass(From::program, kSyn, static_cast<uint16_t>(1000 + i));
  EXPECT_EQ(flows.size(), OpenFlows::kMax);
  pass(From::world, kRst, 1000);  // was forgotten
  EXPECT_EQ(flows.size(), OpenFlows::kMax);
  pass(From::world, kRst, 1001);
  EXPECT_EQ(flows.size(), OpenFlows::kMax - 1);
}

TEST_P(Flows, BrokenPacketsChangeNothing) {
  pass(From::program, kSyn);
  for (size_t n = 0; n < 60; n++) flows.on_packet(std::vector<uint8_t>(n, 0x46), From::program);
  EXPECT_EQ(flows.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Families, Flows, testing::Values(true, false),
                         [](const auto& i) { return i.param ? "IPv4" : "IPv6"; });

}  // namespace
}  // namespace macrovpn::routing
