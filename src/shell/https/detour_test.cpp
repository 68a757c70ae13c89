// The detour between a node's datagrams and a relay's port, over the loopback; UDP is what the test does with what leaves.
#include "shell/https/detour.h"

#include <gtest/gtest.h>

#include <csignal>

#include "shell/clock.h"
#include "shell/https/server.h"

namespace macrovpn::shell::https {
namespace {

const Endpoint kEntry{IpAddress::v4(0xc6336401u), 51820}, kOther{IpAddress::v4(0xc6336402u), 51820};

struct Way : testing::Test {
  OsRng rng;
  PacketPool pool;
  Reactor reactor;
  NetworkId network{{1}};
  PublicKey relay{{2}};
  std::unique_ptr<Server> server;
  tls::Pin pin{};
  std::vector<node::Datagram> at_server, at_node, by_udp;
  std::vector<std::string> said;
  std::unique_ptr<Detour> detour;
  size_t looked = 0;
  std::optional<Endpoint> second;

  Way() {
    std::signal(SIGPIPE, SIG_IGN);
    auto own = tls::Context::server(*tls::make_certificate("www.example.net", rng, read_clocks().wall));
    pin = own->pin();
    server = std::make_unique<Server>(reactor, pool, rng, std::move(own).value(), ServerConfig{network, relay, {}},
                                      [this](std::span<node::Datagram> d) { std::move(d.begin(), d.end(), std::back_inserter(at_server)); });
    EXPECT_TRUE(server->listen({IpAddress::v4(0x7f000001u), 0}).ok());
    make();
  }
  void make() {
    Detour::Uses uses;
    uses.find = [this](const Endpoint& e) -> std::optional<Address> {
      looked++;
      if (e != kEntry && e != second) return std::nullopt;
      return Address{{IpAddress::v4(0x7f000001u), server->port()}, "www.example.net", pin, relay};
    };
    uses.came = [this](std::span<node::Datagram> d) { std::move(d.begin(), d.end(), std::back_inserter(at_node)); };
    uses.send_by_udp = [this](node::Datagram&& d) { by_udp.push_back(std::move(d)); };
    uses.say = [this](const char* s) { said.emplace_back(s); };
    uses.network = [] { return std::optional<std::string>("02:00:00:00:00:01"); };
    detour = std::make_unique<Detour>(reactor, pool, rng, tls::Context::client().value(), network, 0u, NetworkMemory("", rng), uses);
  }
  // How many of them are left for UDP.
  size_t send(std::initializer_list<std::pair<Endpoint, std::string>> what) {
    std::vector<node::Datagram> d;
    for (const auto& [to, text] : what) d.push_back({kListenSocket, to, pool.copy_of(as_bytes(text))});
    detour->outgoing(d);
    return d.size();
  }
  void hear(const Endpoint& from) {
    std::vector<node::Datagram> d;
    d.push_back({kListenSocket, from, pool.copy_of(as_bytes("an answer"))});
    detour->incoming(d);
    EXPECT_EQ(d.size(), 1u);
  }
  template <class F>
  bool until(F&& done) {
    for (int i = 0; i < 2000 && !done(); i++) reactor.run_once(5ms);
    return done();
  }
  static std::string text(const node::Datagram& d) { return {d.packet.bytes().begin(), d.packet.bytes().end()}; }
};

TEST_F(Way, WhatWasSentInTheSilenceComesByHttpsAndSoDoesAllAfterIt) {
  EXPECT_EQ(send({{kEntry, "first"}, {kOther, "elsewhere"}}), 2u) << "by UDP, too";
  ASSERT_TRUE(until([&] { return at_server.size() == 1; }));
  EXPECT_EQ(text(at_server[0]), "first");
  EXPECT_EQ(send({{kEntry, "second"}, {kOther, "elsewhere"}}), 1u);
  ASSERT_TRUE(until([&] { return at_server.size() == 2; }));
  EXPECT_EQ(text(at_server[1]), "second");
  std::vector<node::Datagram> answer;
  answer.push_back({kHttpsSocket, at_server[0].remote, pool.copy_of(as_bytes("answer"))});
  server->send(answer);
  ASSERT_TRUE(until([&] { return at_node.size() == 1; }));
  EXPECT_EQ(at_node[0].socket, kListenSocket);
  EXPECT_EQ(at_node[0].remote, kEntry) << "as if it had come by UDP";
  EXPECT_EQ(detour->report().by_https, 1u);
}

TEST_F(Way, ARelayThatAnswersByUdpIsNotCalledByHttps) {
  for (int i = 0; i < 20; i++) {
    EXPECT_EQ(send({{kEntry, "a question"}}), 1u);
    hear(kEntry);
    reactor.run_once(30ms);
  }
  EXPECT_EQ(server->counters().admitted, 0u);
  EXPECT_EQ(detour->report().by_udp, 1u);
}

TEST_F(Way, NoMoreThanTheNewestIsKept) {
  for (size_t i = 0; i < Detour::kMostKept + 5; i++) send({{kEntry, std::to_string(i)}});
  ASSERT_TRUE(until([&] { return at_server.size() == Detour::kMostKept; }));
  EXPECT_EQ(text(at_server.front()), "5");
}

TEST_F(Way, AnotherCertificateIsSaidAndNothingIsTold) {
  pin[0] ^= 1;
  send({{kEntry, "first"}});
  ASSERT_TRUE(until([&] { return detour->report().trouble == Detour::Trouble::wrong_certificate; }));
  EXPECT_EQ(said.size(), 1u);
  EXPECT_EQ(server->counters().admitted, 0u);
  EXPECT_TRUE(at_server.empty());
}

TEST_F(Way, TheEndOfALinkLeadsBackToUdp) {
  send({{kEntry, "first"}});
  ASSERT_TRUE(until([&] { return at_server.size() == 1; }));
  EXPECT_EQ(send({{kEntry, "second"}}), 0u);
  server.reset();
  EXPECT_TRUE(until([&] { return send({{kEntry, "third"}}) == 1; }));
}

TEST_F(Way, RelaysAreRememberedUpToABound) {
  for (uint32_t i = 0; i < 3 * Detour::kMostEntries; i++) send({{{IpAddress::v4(0xc6330000u + i), 51820}, "x"}});
  const size_t before = looked;
  send({{{IpAddress::v4(0xc6330000u), 51820}, "x"}});
  EXPECT_EQ(looked, before + 1) << "the oldest was forgotten";
}

TEST_F(Way, InANetworkThatNeededItHttpsBeginsAtOnce) {
  send({{kEntry, "first"}});
  ASSERT_TRUE(until([&] { return at_server.size() == 1; }));
  std::vector<node::Datagram> answer;
  answer.push_back({kHttpsSocket, at_server[0].remote, pool.copy_of(as_bytes("answer"))});
  server->send(answer);
  ASSERT_TRUE(until([&] { return at_node.size() == 1; }));
  second = kOther;  // another relay that is reached at the same port
  reactor.run_once(Duration::zero());
  const Mono began = reactor.now().mono;
  send({{kOther, "to the other"}});
  ASSERT_TRUE(until([&] { return at_server.size() == 2; }));
  EXPECT_LT(reactor.now().mono - began, LinkChoice::kFirstPatience);
}

}  // namespace
}  // namespace macrovpn::shell::https
