// A relay that strangers fill keeps to the place that its operator gave it.
#include "core/node/capacity.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include "core/node/node.h"

namespace macrovpn::node {
namespace {

size_t heap_in_use() {
  const struct mallinfo2 m = mallinfo2();
  return m.uordblks + m.hblkhd;
}

// A relay, and callers who each want one leg.
class FullRelay : public ::testing::Test {
 protected:
  FullRelay() {
    network_.id.bytes = {1};
    network_.extra_global.push_back(*IpPrefix::parse("198.51.100.0/24"));
    next_.identity = crypto::ed25519_generate(rng_).pub;
    next_.id = discovery::peer_id_of(next_.identity);
    next_.wireguard = crypto::x25519_generate(rng_).pub;
    next_.endpoints = {*Endpoint::parse("198.51.100.9:51820")};
    next_.expiry = now_.wall + std::chrono::hours(30);
  }

  std::unique_ptr<Node> make_relay(size_t circuits, uint64_t memory) {
    NodeConfig config;
    config.wireguard = key_;
    config.identity = crypto::ed25519_generate(rng_);
    config.network = network_;
    config.relay = RelayConfig{};
    config.tunnels.handshakes_per_second = config.tunnels.load_threshold = 1'000'000'000;
    config.tunnels.half_open_per_source = 1'000'000;
    limit_tables(config, circuits, memory);
    auto relay = std::make_unique<Node>(config, pool_, rng_);
    static_cast<void>(relay->directory().insert(next_));
    return relay;
  }

  // A new caller; false: the relay did not even answer.
  bool call(Node& relay, size_t number) {
    now_.mono += 5ms;
    // Four of each address.
    const Endpoint from{IpAddress::v4(0xc0000200u + static_cast<uint32_t>(number / 4)), static_cast<uint16_t>(1024 + number % 4)};
    const Route route = Route::udp(kListenSocket, from, kPlain);
    encryption::Tunnels caller(crypto::x25519_generate(rng_), network_.id.bytes, ShardId{0}, pool_, rng_);
    const PeerRef peer = *caller.add_hop(now_.mono, {crypto::x25519_generate(rng_), key_.pub, route});
    const auto deliver = [&](Packet p, Effects& fx) {
      Datagram d{kListenSocket, from, std::move(p)};
      relay.on_datagrams(now_, std::span(&d, 1), fx);
    };
    Effects answer, rest;
    deliver(pool_.copy_of(caller.start_handshake(now_, peer)->message), answer);
    encryption::Out out;
    if (answer.datagrams.empty() ||
        caller.on_response(now_, route, answer.datagrams[0].packet.bytes(), out) != encryption::Drop::none)
      return false;
    ByteArray<148> onward{1};
    rng_.fill(MutBytes(onward).subspan(4));
    Packet p = pool_.copy_of(routing::write_extend(next_.id, 0, routing::write_element(onward, {7}, {})));
    encryption::SealJob job{peer, &p, {}, encryption::Drop::none};
    caller.seal_batch(now_, std::span(&job, 1), out);
    deliver(std::move(p), rest);
    return true;
  }

  Now now_{Mono(1000s), wall_from_unix(1'790'000'000)};
  PacketPool pool_;
  SeededRng rng_{1};
  Network network_;
  KeyPair key_ = crypto::x25519_generate(rng_);
  RelayInfo next_;
};

TEST_F(FullRelay, HoldsItsNumberOfCircuitsAndNoMoreMemoryThanTheirPlaces) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer has a heap of its own, which cannot be measured so";
#endif
  constexpr size_t kCircuits = 300;
  auto relay = make_relay(kCircuits, 0);
  for (size_t i = 0; i < 2 * kCircuits; i++) call(*relay, i);
  EXPECT_EQ(relay->relay()->legs(), kCircuits);
  EXPECT_LE(relay->tunnels().ephemeral_count(), kCircuits * 5 / 4 + 64);
  relay->check_invariants();
  const size_t before = heap_in_use();
  relay.reset();  // all that it held goes back to the heap
  const size_t held = before - heap_in_use();
  EXPECT_GT(held, kCircuits * 512) << "the measurement measures";
  EXPECT_LE(held, kCircuits * kCircuitCost + 256 * 1024);
}

TEST_F(FullRelay, LeavesRoomForOthersHoweverSmallItIs) {
  auto relay = make_relay(160, 0);
  for (size_t i = 0; i < 400; i++) {
    now_.mono += 1ms;
    call(*relay, 0);  // always a new caller of the same address
  }
  EXPECT_EQ(relay->relay()->legs(), 10u);
  EXPECT_TRUE(call(*relay, 100));
  EXPECT_EQ(relay->relay()->legs(), 11u);
}

TEST_F(FullRelay, TheSmallestMemoryThatCanBeSaidIsEnoughToServe) {
  auto relay = make_relay(0, peers::kLeastRelayMemory);
  EXPECT_TRUE(call(*relay, 1));
  EXPECT_EQ(relay->relay()->legs(), 1u);
}

}  // namespace
}  // namespace macrovpn::node
