// What a relay can be made to call, and how far a circuit reaches.
#include <gtest/gtest.h>

#include "core/node/hostile_world_test.h"

namespace macrovpn::node {
namespace {

using routing::ErrorCode;

constexpr TunId kTun{7};

struct Extending : testing::Test {
  explicit Extending(ClientConfig config = {.spare_circuits = 0}) : net(std::move(config)) {
    net.publish();
    circuit = net.connect(net.client(), kTun);
    guard = &net.host_of(circuit->hops[0]);
    net.run_for(3s);
    net.sends = [this](const TestWorld::Host& from, const Datagram& d) {
      if (&from == guard && d.remote.address != net.client().address) called.push_back(d.remote);
    };
  }
  // A relay that only the guard's directory knows.
  PeerId list(const std::string& endpoint, const PublicKey& key, Duration life = std::chrono::hours(1)) {
    RelayInfo info;
    info.identity.bytes[0] = ++relays;
    info.id = discovery::peer_id_of(info.identity);
    info.wireguard = key;
    info.endpoints = {*Endpoint::parse(endpoint)};
    info.flags.set(RelayFlag::middle);
    info.signed_at = net.now.wall;
    info.expiry = net.now.wall + life;
    EXPECT_EQ(guard->node->directory().insert(info), discovery::Insert::added);
    return info.id;
  }
  PublicKey some_key() { return crypto::x25519_generate(rng).pub; }
  // Whether an EXTEND to that endpoint is refused, and nothing sent anywhere.
  void ask(const PeerId& relay, uint8_t endpoint = 0) {
    ByteArray<148> garbage{1};
    store_le32(&garbage[4], ++index);
    called.clear();
    refused = guard->node->relay()->counters().refused;
    net.send_frame(
        net.client(), circuit->hops[0].peer,
        routing::write_extend(relay, endpoint, routing::write_element(garbage, {5000 + index}, {})));
    net.run_for(500ms);
    refused = guard->node->relay()->counters().refused - refused;
  }
  void expect_refused(const PeerId& relay, const std::string& what, uint8_t endpoint = 0) {
    ask(relay, endpoint);
    EXPECT_EQ(refused, 1u) << what;
    EXPECT_TRUE(called.empty()) << what;
  }
  HostileNet net;
  const Circuit* circuit = nullptr;
  TestWorld::Host* guard = nullptr;
  std::vector<Endpoint> called;
  SeededRng rng{77};
  uint32_t index = 0;
  uint8_t relays = 0;
  uint64_t refused = 0;
};

TEST_F(Extending, ToAGlobalEndpointOfAKnownRelayIsDone) {
  const PeerId known = list("192.0.2.99:51820", some_key());
  ask(known);
  EXPECT_EQ(refused, 0u);
  EXPECT_EQ(called, std::vector{*Endpoint::parse("192.0.2.99:51820")});
}

TEST_F(Extending, ToAnythingThatIsNotGlobalUnicastIsRefused) {
  for (const char* endpoint : {"10.0.0.1:51820",
                               "172.16.0.1:51820",
                               "192.168.1.1:53",
                               "127.0.0.1:22",
                               "100.64.0.1:1",
                               "169.254.169.254:80",
                               "0.0.0.0:1",
                               "0.1.2.3:1",
                               "224.0.0.251:5353",
                               "240.0.0.1:1",
                               "255.255.255.255:67",
                               "198.18.0.1:1",
                               "192.0.0.8:1",
                               "192.88.99.1:1",
                               "[::1]:1",
                               "[::]:1",
                               "[fe80::1]:1",
                               "[fc00::1]:1",
                               "[fd00::1]:1",
                               "[ff02::fb]:5353",
                               "[::ffff:10.0.0.1]:1",
                               "[::ffff:127.0.0.1]:1",
                               "[64:ff9b:1::1]:1",
                               "[2001:db8::1]:1",
                               "[2002:7f00:1::]:1",
                               "[2002:a00:1::]:1",
                               "[100::1]:1",
                               "[::10.0.0.1]:1"}) {
    expect_refused(list(endpoint, some_key()), endpoint);
  }
}

TEST_F(Extending, ToItselfUnderAnyNameIsRefused) {
  expect_refused(net.id_of(*guard), "its own id");
  expect_refused(list("192.0.2.98:51820", guard->config.wireguard.pub), "its own key under another id");
}

TEST_F(Extending, ToAnUnknownRelayOrEndpointIsRefused) {
  expect_refused(PeerId{{1, 2, 3}}, "unknown");
  expect_refused(net.id_of(*net.hosts["e0"]), "an endpoint that it does not have", 1);
  expect_refused(net.id_of(*net.hosts["e0"]), "an endpoint that nobody has", 255);
}

TEST_F(Extending, ToAnExpiredRelayIsRefused) {
  const PeerId known = list("192.0.2.99:51820", some_key(), std::chrono::seconds(30));
  ask(known);
  EXPECT_EQ(refused, 0u);
  net.run_for(31s);
  expect_refused(known, "expired");
}

TEST_F(Extending, ToARelayWhoseKeyIsNoKeyIsRefused) {
  expect_refused(list("192.0.2.99:51820", PublicKey{}), "a point of low order");
}

struct OwnNetworks : Extending {
  OwnNetworks() {
    net.detach(net.client(), kTun);
    for (auto& [name, h] : net.hosts) {
      if (h->config.relay)
        h->config.relay->own_networks = {*IpPrefix::parse("8.8.4.0/24"), IpPrefix::of(h->address, 32)};
      net.restart(*h);
    }
    net.now.wall += 1s;
    net.publish();
    circuit = net.connect(net.client(), kTun);
    guard = &net.host_of(circuit->hops[0]);
  }
};

TEST_F(OwnNetworks, AreRefusedAlsoWhereTheyAreGlobal) {
  expect_refused(list("8.8.4.7:51820", some_key()), "its own network");
  expect_refused(list("198.51.100." + std::to_string(guard->address.bytes()[3]) + ":99", some_key()),
                 "its own address");
  ask(list("8.8.8.7:51820", some_key()));
  EXPECT_EQ(refused, 0u) << "a neighbour of it";
}

TEST_F(Extending, BackToTheRelayBeforeIsRefused) {
  // In the session with the middle, whose upstream is the guard.
  auto& middle = net.host_of(circuit->hops[1]);
  const uint64_t before = middle.node->relay()->counters().refused;
  ByteArray<148> garbage{1};
  net.send_frame(net.client(), circuit->hops[1].peer,
                 routing::write_extend(net.id_of(*guard), 0, routing::write_element(garbage, {5001}, {})));
  net.run_for(1s);
  EXPECT_EQ(middle.node->relay()->counters().refused, before + 1);
}

struct FiveHops : Extending {
  FiveHops() : Extending({.hops = 5, .spare_circuits = 0}) {}
};

TEST_F(FiveHops, ASixthIsRefused) {
  ASSERT_EQ(circuit->hops.size(), 5u);
  auto& last = net.host_of(circuit->exit());
  const uint64_t before = last.node->relay()->counters().refused, extended = HostileNet::extended(last);
  PeerId other{};
  for (auto& [name, h] : net.hosts) {
    const bool used = std::any_of(circuit->hops.begin(), circuit->hops.end(), [&](const Hop& hop) {
      return hop.relay.wireguard == h->config.wireguard.pub;
    });
    if (h->config.relay && !used) other = net.id_of(*h);
  }
  ByteArray<148> garbage{1};
  net.send_frame(net.client(), circuit->exit().peer,
                 routing::write_extend(other, 0, routing::write_element(garbage, {5001}, {})));
  net.run_for(150ms);  // there, and not back: with the answer the client takes another circuit, maybe through the same relay
  EXPECT_EQ(last.node->relay()->counters().refused, before + 1);
  EXPECT_EQ(HostileNet::extended(last), extended);
}

// A hostile relay, which really has the pair key, says that five were before it.
TEST_F(Extending, AnInitiationWithFiveRelaysBeforeIsRefused) {
  auto& target = *net.hosts["e1"];
  auto& hostile = *net.hosts["r3"];
  const auto pair = encryption::PairKeys::derive(net.network.id.bytes, hostile.config.wireguard,
                                                 target.config.wireguard.pub);
  Stranger s(8);
  PacketPool pool;
  for (const uint8_t before : {3, 4, 5, 200, 255}) {
    const auto call = s.call(net.now, target);
    Packet p = pool.copy_of(call.initiation.message);
    encryption::append_early(p, {});
    encryption::append_trailer(p, *pair,
                               {net.id_of(hostile), before, uint64_t{1'790'000'000'000} << 22 | before});
    const size_t sessions = target.node->tunnels().ephemeral_count();
    net.send_forged(net.calls_from(hostile), target, kListenSocket, net.masked(target, p.bytes()));
    net.run_for(100ms);
    EXPECT_EQ(target.node->tunnels().ephemeral_count() - sessions, before < 4 ? 1u : 0u) << int{before};
  }
  EXPECT_EQ(target.node->counters().too_deep, 4u);
}

// The depth is counted along the way that the handshake took.  A caller that opens a session with a relay
// directly, where nobody was before, must not lead the packets of a circuit into it: circuits of any length
// could be strung together.
TEST_F(Extending, ASessionTakesPacketsOnlyTheWayThatItsHandshakeCame) {
  // The client has a session with the exit over two relays, and one directly, under another key.
  auto& exit = net.host_of(circuit->exit());
  ClientConfig one_hop{.hops = 1, .pinned_path = {net.id_of(exit)}, .spare_circuits = 0};
  auto& direct = net.add_client("direct", "192.0.2.51", one_hop);
  net.now.wall += 1s;
  net.publish();
  ASSERT_NE(net.connect(direct, kTun), nullptr);
  net.run_for(3s);
  Buffer caught;
  net.drop = [&](const TestWorld::Flight& f) {
    if (f.from != &direct || f.to != &exit || !caught.empty()) return false;
    caught = f.bytes;
    caught.pop_back();
    return true;
  };
  net.send_from_program(direct, kTun, udp_packet("10.10.0.2", "192.0.2.1", 100));
  net.run_for(100ms);
  net.drop = {};
  ASSERT_FALSE(caught.empty());
  ASSERT_TRUE(net.mask_of(exit).unmask(caught).has_value());
  // As the middle would forward it: from its port, under the mask of the two relays.
  auto& middle = net.host_of(circuit->hops[1]);
  const auto pair =
      encryption::PairKeys::derive(net.network.id.bytes, middle.config.wireguard, exit.config.wireguard.pub);
  pair->mask_transport(caught.data());
  const size_t out = exit.exit.size();
  net.send_forged(net.calls_from(middle), exit, kListenSocket, caught);
  net.run_for(100ms);
  EXPECT_EQ(exit.exit.size(), out);
  EXPECT_EQ(exit.node->counters().bad_payload, 1u);
}

// The same key calls again and again, each time with early data that asks for an extension.
TEST_F(Extending, ARekeyDoesNotRenewWhatACallerMayAsk) {
  Stranger s(9);
  auto& relay = *net.hosts["r0"];
  const uint64_t before = HostileNet::extended(relay);
  const size_t sessions = relay.node->tunnels().ephemeral_count();
  auto call = s.call(net.now, relay);
  int sent = 0;
  for (const Mono end = net.now.mono + 9s; net.now.mono < end; sent++) {
    ByteArray<148> garbage{1};  // down one leg: their number is bounded elsewhere
    store_le32(&garbage[4], ++index);
    const auto extend = routing::write_extend(net.id_of(*net.hosts["e0"]), 0,
                                              routing::write_element(garbage, {9000}, {}));
    const Buffer d = s.datagram(call, s.early(net.now, call, relay.prekey, extend), 900);
    net.send_forged(*Endpoint::parse("192.0.2.77:7"), relay, kListenSocket, net.masked(relay, d));
    net.run_for(52ms);
    call = s.again(net.now, call);
  }
  EXPECT_GT(sent, 170);
  EXPECT_EQ(relay.node->tunnels().ephemeral_count(), sessions + 1);
  EXPECT_LE(HostileNet::extended(relay) - before, 40u + 90u + 2u);
  EXPECT_GE(HostileNet::extended(relay) - before, 100u);
}

}  // namespace
}  // namespace macrovpn::node
