// What a relayed circuit costs a relay in memory: the heap's growth over many circuits through one middle
// relay.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include "core/node/node_world_test.h"

namespace macrovpn {
namespace {

size_t heap_in_use() {
  const struct mallinfo2 m = mallinfo2();
  return m.uordblks + m.hblkhd;
}

// A relay under test in the middle: sessions of strangers, each with one leg down, confirmed by one packet.
struct Middle {
  static constexpr size_t kCircuits = 2000;
  PacketPool pool;
  SeededRng rng{1};
  Now now{Mono(1000s), wall_from_unix(1'790'000'000)};
  Network network;
  KeyPair middle_key = crypto::x25519_generate(rng), next_key = crypto::x25519_generate(rng);
  std::unique_ptr<node::Node> relay;
  RelayInfo next;
  struct Caller {
    std::unique_ptr<encryption::Tunnels> tunnels;
    PeerRef peer;
    Endpoint from;
  };
  std::vector<Caller> callers;

  Middle() {
    network.id.bytes = {1};
    network.extra_global.push_back(*IpPrefix::parse("198.51.100.0/24"));
    node::NodeConfig config;
    config.wireguard = middle_key;
    config.identity = crypto::ed25519_generate(rng);
    config.network = network;
    config.relay = node::RelayConfig{};
    config.tunnels.handshakes_per_second = config.tunnels.load_threshold = 1'000'000'000;
    config.tunnels.half_open = config.tunnels.half_open_per_source = 1'000'000;
    relay = std::make_unique<node::Node>(config, pool, rng);
    next.identity = crypto::ed25519_generate(rng).pub;
    next.id = discovery::peer_id_of(next.identity);
    next.wireguard = next_key.pub;
    next.endpoints = {*Endpoint::parse("198.51.100.9:51820")};
    next.expiry = now.wall + std::chrono::hours(30);
    static_cast<void>(relay->directory().insert(next));
    for (size_t i = 0; i < kCircuits; i++) make_caller(i);
  }

  void make_caller(size_t i) {
    Caller c;
    c.from = {IpAddress::v4(0xc0000200u + static_cast<uint32_t>(i / 200)),
              static_cast<uint16_t>(1024 + i % 200)};
    c.tunnels = std::make_unique<encryption::Tunnels>(crypto::x25519_generate(rng), network.id.bytes,
                                                      ShardId{0}, pool, rng);
    c.peer = *c.tunnels->add_hop(
        now.mono, {crypto::x25519_generate(rng), middle_key.pub, Route::udp(kListenSocket, c.from, kPlain)});
    callers.push_back(std::move(c));
  }

  void deliver(const Caller& c, Packet packet, node::Effects& fx) {
    node::Datagram d{kListenSocket, c.from, std::move(packet)};
    relay->on_datagrams(now, std::span(&d, 1), fx);
  }

  void open_circuit(Caller& c) {
    now.mono += 5ms;  // not under load
    node::Effects fx;
    const auto init = c.tunnels->start_handshake(now, c.peer);
    deliver(c, pool.copy_of(init->message), fx);
    encryption::Out out;
    MV_ASSERT(fx.datagrams.size() == 1);
    const Route from = Route::udp(kListenSocket, c.from, kPlain);
    const auto dropped = c.tunnels->on_response(now, from, fx.datagrams[0].packet.bytes(), out);
    MV_ASSERT(dropped == encryption::Drop::none);
    ByteArray<148> onward{};
    onward[0] = 1;
    rng.fill(MutBytes(onward).subspan(4));
    const auto frame = routing::write_extend(next.id, 0, routing::write_element(onward, {7}, {}));
    Packet p = pool.copy_of(frame);
    encryption::SealJob job{c.peer, &p, {}, encryption::Drop::none};
    c.tunnels->seal_batch(now, std::span(&job, 1), out);
    MV_ASSERT(job.result == encryption::Drop::none);
    node::Effects more;
    deliver(c, std::move(p), more);
    MV_ASSERT(more.datagrams.size() == 1);
  }
};

void memory_per_relayed_circuit(benchmark::State& state) {
  for (auto _ : state) {
    Middle m;
    for (auto& caller : m.callers) m.open_circuit(caller);
    MV_ASSERT(m.relay->relay()->legs() == Middle::kCircuits);
    const size_t before = heap_in_use();
    m.relay.reset();  // all that it held goes back to the heap, its empty tables too
    state.counters["bytes_per_circuit"] = static_cast<double>(before - heap_in_use()) / Middle::kCircuits;
  }
}
BENCHMARK(memory_per_relayed_circuit)->Iterations(1);

}  // namespace
}  // namespace macrovpn
