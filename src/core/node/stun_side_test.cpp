// STUN by relays: who is answered, from where, how much, and whom two relays together can be made to call.
#include "core/node/stun_side.h"

#include <gtest/gtest.h>

#include "core/node/hostile_world_test.h"

namespace macrovpn::node {
namespace {

namespace stun = discovery::stun;
const Endpoint kAsker = *Endpoint::parse("203.0.113.77:40000");

struct StunNet : HostileNet {
  explicit StunNet(bool plain = false) : HostileNet({.spare_circuits = 0}, 7) {
    for (const char* name : {"r0", "r1"}) {
      hosts[name]->config.relay->plain_stun = plain;
      restart(*hosts[name]);
    }
    publish();
    sends = [this](const Host& from, const Datagram& d) {
      if (d.remote == kAsker) heard.push_back({&from, d.socket, Buffer(d.packet.bytes().begin(), d.packet.bytes().end())});
      if (d.remote.address == hosts["r1"]->address && from.name == "r0") between.emplace_back(d.packet.bytes().begin(), d.packet.bytes().end());
    };
  }
  Host& r0() { return *hosts["r0"]; }
  Host& r1() { return *hosts["r1"]; }
  static Buffer request(size_t size, const stun::Question& q = {}) {
    Buffer d = stun::write_request({1, 2, 3}, q);
    if (d.size() < size) d.resize(size, 0x5a);
    return d;
  }
  void ask(const Buffer& bare, const Endpoint& from = kAsker) {
    send_forged(from, r0(), kListenSocket, masked(r0(), bare));
    run_for(100ms);
  }
  // The answers that came, without masks.
  std::optional<stun::Message> answer(size_t i) {
    Buffer d = heard.at(i).bytes;
    if (!mask_of(*heard[i].from).unmask_stun(d)) return std::nullopt;
    return stun::read(d, stun::Extent::shorter);
  }
  const StunCounters& counters(const Host& h) const { return h.node->stun()->counters(); }
  struct Heard {
    const Host* from;
    SocketId socket;
    Buffer bytes;
  };
  std::vector<Heard> heard;
  std::vector<Buffer> between;
};

TEST(StunSide, TellsAnAskerHisAddressUnderTheMask) {
  StunNet net;
  net.ask(StunNet::request(60));
  ASSERT_EQ(net.heard.size(), 1u);
  const auto m = net.answer(0);
  ASSERT_TRUE(m);
  EXPECT_EQ(m->kind, stun::Kind::answer);
  EXPECT_EQ(m->mapped, kAsker);
  EXPECT_EQ(m->id, (stun::TransactionId{1, 2, 3}));
  EXPECT_EQ(net.heard[0].socket, kListenSocket);
  EXPECT_FALSE(stun::read(net.heard[0].bytes, stun::Extent::shorter)) << "it shows on the wire";
}

TEST(StunSide, AnswersNothingThatIsSmallerThanTheLeast) {
  StunNet net;
  for (size_t size = stun::kHeader; size < stun::kLeastRequest; size++) net.ask(StunNet::request(size));
  EXPECT_TRUE(net.heard.empty());
  EXPECT_GT(net.counters(net.r0()).too_small, 0u);
  net.ask(StunNet::request(stun::kLeastRequest));
  EXPECT_EQ(net.heard.size(), 1u);
  EXPECT_LE(net.heard[0].bytes.size(), stun::kLeastRequest);
}

TEST(StunSide, AnswersFromItsOtherPortIfAsked) {
  StunNet net;
  net.ask(StunNet::request(60, {stun::From::other_port, {}}));
  ASSERT_EQ(net.heard.size(), 1u);
  EXPECT_EQ(net.heard[0].socket, kEgressSocket);
  EXPECT_EQ(net.answer(0)->mapped, kAsker);
}

TEST(StunSide, ARelayThatTheAskerNamesCallsHimToo) {
  StunNet net;
  net.ask(StunNet::request(stun::kLeastCallBack, {stun::From::same, net.id_of(net.r1())}));
  ASSERT_EQ(net.heard.size(), 2u);
  EXPECT_EQ(net.heard[1].from, &net.r1());
  EXPECT_EQ(net.heard[1].socket, kListenSocket) << "from where its descriptor says that it is";
  EXPECT_TRUE(net.answer(0)->called);
  EXPECT_EQ(net.answer(1)->mapped, kAsker);
  EXPECT_EQ(net.answer(1)->id, (stun::TransactionId{1, 2, 3}));
  const size_t sent = net.heard[0].bytes.size() + net.heard[1].bytes.size() + net.between.at(0).size();
  EXPECT_LE(sent, stun::kLeastCallBack);
  // One byte less, and nobody is called.
  net.ask(StunNet::request(stun::kLeastCallBack - 1, {stun::From::same, net.id_of(net.r1())}));
  EXPECT_EQ(net.heard.size(), 2u);
}

TEST(StunSide, AnIndicationIsBelievedOnceAndOnlyFromARelayThatSignedIt) {
  StunNet net;
  net.ask(StunNet::request(stun::kLeastCallBack, {stun::From::same, net.id_of(net.r1())}));
  ASSERT_EQ(net.between.size(), 1u);
  ASSERT_EQ(net.heard.size(), 2u);
  const auto give = [&](const Buffer& d) {
    net.send_forged({net.r0().address, 51821}, net.r1(), kListenSocket, d);
    net.run_for(100ms);
  };
  give(net.between[0]);
  EXPECT_EQ(net.heard.size(), 2u) << "a replay";
  EXPECT_EQ(net.counters(net.r1()).refused, 1u);
  // Every byte of one that was not seen yet is covered.
  net.drop = [&](const TestWorld::Flight& f) { return f.to == &net.r1(); };
  net.ask(StunNet::request(stun::kLeastCallBack, {stun::From::same, net.id_of(net.r1())}));
  net.drop = {};
  ASSERT_EQ(net.between.size(), 2u);
  Buffer bare = net.between[1];
  ASSERT_TRUE(net.mask_of(net.r1()).unmask_stun(bare));
  const size_t size = stun::read(bare, stun::Extent::shorter)->size;
  const size_t heard = net.heard.size();
  for (size_t i = 8; i < size; i++) {
    Buffer forged = bare;
    forged[i] ^= 0x10;
    give(net.masked(net.r1(), forged));
  }
  EXPECT_EQ(net.heard.size(), heard);
  give(net.between[1]);
  EXPECT_EQ(net.heard.size(), heard + 1) << "the real one still counts";
}

TEST(StunSide, NobodyIsCalledOnOurOwnNetworksOrOffTheInternet) {
  StunNet net;
  for (const char* victim : {"10.0.0.9:53", "127.0.0.1:53", "224.0.0.1:53", "169.254.1.1:53", "192.168.1.1:80"}) {
    net.ask(StunNet::request(stun::kLeastCallBack, {stun::From::same, net.id_of(net.r1())}), *Endpoint::parse(victim));
  }
  EXPECT_TRUE(net.between.empty());
  // A relay that nobody knows cannot be told, and the answer does not say that it was.
  net.ask(StunNet::request(stun::kLeastCallBack, {stun::From::same, PeerId{{9}}}));
  ASSERT_EQ(net.heard.size(), 1u);
  EXPECT_FALSE(net.answer(0)->called);
  EXPECT_EQ(net.counters(net.r0()).refused, 6u);
  // Nor by a relay that vouches for anything.
  const auto pair = encryption::PairKeys::derive(net.network.id.bytes, net.r0().config.wireguard, net.r1().config.wireguard.pub);
  auto d = stun::write_indication({}, *Endpoint::parse("10.0.0.9:53"), net.id_of(net.r0()), ~uint64_t{0} >> 2);
  stun::set_mac(d, pair->trailer_mac(stun::signed_part(d, *stun::read(d, stun::Extent::exact))));
  net.send_forged({net.r0().address, 51821}, net.r1(), kListenSocket, net.masked(net.r1(), d));
  net.run_for(100ms);
  EXPECT_EQ(net.counters(net.r1()).called_back, 0u);
  EXPECT_EQ(net.counters(net.r1()).refused, 1u);
}

TEST(StunSide, OneAddressIsAnsweredAtABoundedRate) {
  StunNet net;
  for (int i = 0; i < 400; i++) net.send_forged(kAsker, net.r0(), kListenSocket, net.masked(net.r0(), StunNet::request(60)));
  net.run_for(1s);
  EXPECT_EQ(net.heard.size(), StunSide::kPerCaller.burst);
  EXPECT_EQ(net.counters(net.r0()).too_many, 400 - StunSide::kPerCaller.burst);
  net.run_for(10s);
  net.ask(StunNet::request(60));
  EXPECT_EQ(net.heard.size(), StunSide::kPerCaller.burst + 1);
}

// Whatever a relay vouches for: it has a budget, and so has each address that is called.
TEST(StunSide, CallsForOthersAreBoundedForEachRelayAndForEachAddress) {
  for (const bool one_address : {false, true}) {
    StunNet net;
    uint64_t number = uint64_t{1} << 61;
    const auto vouch = [&](const char* by, const Endpoint& victim) {
      const auto& host = *net.hosts[by];
      const auto pair = encryption::PairKeys::derive(net.network.id.bytes, host.config.wireguard, net.r1().config.wireguard.pub);
      auto d = stun::write_indication({}, victim, net.id_of(host), number++);
      stun::set_mac(d, pair->trailer_mac(stun::signed_part(d, *stun::read(d, stun::Extent::exact))));
      net.send_forged({host.address, 51821}, net.r1(), kListenSocket, net.masked(net.r1(), d));
    };
    for (uint32_t i = 0; i < 200; i++) vouch(one_address && i % 2 != 0 ? "r2" : "r0", one_address ? kAsker : Endpoint{IpAddress::v4(0xcb007101u + i), 9});
    net.run_for(200ms);
    EXPECT_EQ(net.counters(net.r1()).called_back, one_address ? StunSide::kPerCaller.burst : StunSide::kPerRelay.burst);
  }
}

TEST(StunSide, AllTogetherAreAnsweredAtABoundedRate) {
  StunNet net;
  uint64_t sent = 0;
  net.sends = [&](const TestWorld::Host&, const Datagram& d) { sent += d.remote.port == 4321; };
  for (uint32_t i = 0; i < 1000; i++) {
    net.send_forged({IpAddress::v4(0x08000000 + i), 4321}, net.r0(), kListenSocket, net.masked(net.r0(), StunNet::request(60)));
  }
  net.run_for(100ms);
  EXPECT_EQ(sent, StunSide::kInAll.burst);
}

TEST(StunSide, APlainRequestIsAnsweredOnlyIfTheOperatorWantsIt) {
  const auto ask = [](StunNet& net, const Buffer& d) {
    net.send_forged(kAsker, net.r0(), kListenSocket, d);
    net.run_for(100ms);
  };
  StunNet silent;
  ask(silent, stun::write_padded_request({1, 2, 3}, 48));
  EXPECT_TRUE(silent.heard.empty());
  EXPECT_EQ(silent.r0().node->counters().unknown, 1u);
  StunNet open(true);
  ask(open, stun::write_request({1, 2, 3}));
  EXPECT_TRUE(open.heard.empty()) << "20 bytes, as stock clients send it";
  ask(open, stun::write_padded_request({1, 2, 3}, 48));
  ASSERT_EQ(open.heard.size(), 1u);
  const auto m = stun::read(open.heard[0].bytes, stun::Extent::exact);
  ASSERT_TRUE(m);
  EXPECT_EQ(m->mapped, kAsker);
}

TEST(StunSide, ARelayThatIsClosedIsSilent) {
  StunNet net;
  net.command(net.r0(), [&](Node& n, Effects& fx) { n.set_service(net.now, peers::Service::closed, fx); });
  net.ask(StunNet::request(60));
  EXPECT_TRUE(net.heard.empty());
}

TEST(StunSide, ManyBentRequestsAreSurvived) {
  StunNet net;
  SeededRng rng(3);
  const Buffer good = StunNet::request(200, {stun::From::other_port, net.id_of(net.r1())});
  for (int i = 0; i < 3000; i++) {
    Buffer d = good;
    for (uint64_t n = rng.below(4); n-- > 0;) d[rng.below(d.size())] = static_cast<uint8_t>(rng.below(256));
    d.resize(rng.below(d.size() - 32) + 32);
    net.send_forged({IpAddress::v4(0x08000000 + static_cast<uint32_t>(i)), 4321}, net.r0(), kListenSocket, net.masked(net.r0(), d));
    if (i % 100 == 0) net.run_for(1s);
  }
  net.r0().node->check_invariants();
  EXPECT_GT(net.counters(net.r0()).answered, 100u);
  EXPECT_GT(net.counters(net.r1()).called_back, 10u);
}

}  // namespace
}  // namespace macrovpn::node
