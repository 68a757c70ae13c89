// What the core costs, without I/O: primitives, handshakes, builds, and packets through each kind of node.
#include <benchmark/benchmark.h>

#include "core/node/node_world_test.h"
#include "core/routing/address_rewrite.h"
#include "crypto/aead.h"

namespace macrovpn {
namespace {

using crypto::AeadBatch;
using crypto::AeadJob;

constexpr size_t kBatch = 64;
constexpr uint32_t kPacket = 1376;

void aead(benchmark::State& state, AeadBatch::Engine wanted) {
  AeadBatch batch(wanted);
  SeededRng rng(1);
  const crypto::SymmetricKey key(rng.bytes<32>());
  std::vector<uint8_t> bytes(kBatch * 2048);
  std::vector<AeadJob> jobs;
  for (size_t i = 0; i < kBatch; i++) jobs.push_back({&key, i, &bytes[i * 2048], kPacket, false});
  for (auto _ : state) batch.seal(jobs);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kBatch));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kBatch * kPacket));
  state.SetLabel(batch.engine() == AeadBatch::Engine::ipsec_mb ? "libipsec-mb" : "OpenSSL");
}
BENCHMARK_CAPTURE(aead, OpenSSL, AeadBatch::Engine::openssl);
BENCHMARK_CAPTURE(aead, automatic, AeadBatch::Engine::automatic);

void x25519(benchmark::State& state) {
  SeededRng rng(1);
  const KeyPair a = crypto::x25519_generate(rng), b = crypto::x25519_generate(rng);
  for (auto _ : state) benchmark::DoNotOptimize(crypto::x25519(a.secret, b.pub));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(x25519);

struct Line : node::TestWorld {
  static constexpr TunId kTun{1};
  explicit Line(size_t hops) {
    link = 1ms;
    for (int i = 0; i < 4; i++)
      add_relay("r" + std::to_string(i), "198.51.100." + std::to_string(10 + 16 * i), false);
    for (int i = 0; i < 2; i++)
      add_relay("e" + std::to_string(i), "203.0.113." + std::to_string(10 + 16 * i), true);
    add_client("client", "192.0.2.50", {.hops = hops, .spare_circuits = 0});
    publish();
    attach(client(), kTun);
    run_until([&] { return active(client(), kTun) != nullptr; }, 10s);
    run_for(3s);
  }
  Host& client() { return *hosts["client"]; }
};

// Whole circuits, everybody's part of the work on one core: client, relays, exit.
void builds(benchmark::State& state) {
  Line line(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    const size_t before = line.count<node::CircuitReady>(line.client());
    line.hop(line.client());
    line.run_until([&] { return line.count<node::CircuitReady>(line.client()) > before; }, 10s);
    state.PauseTiming();
    line.run_for(5s);
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(builds)->Arg(1)->Arg(3)->Arg(5)->Unit(benchmark::kMicrosecond);

// One packet up through all hops, everybody's part of the work on one core.
void packets_up(benchmark::State& state) {
  Line line(static_cast<size_t>(state.range(0)));
  const auto packet = node::udp_packet("10.10.0.2", "192.0.2.1", 1300);
  for (auto _ : state) {
    for (size_t i = 0; i < kBatch; i++) line.send_from_program(line.client(), Line::kTun, packet);
    line.run_for(10ms);
    state.PauseTiming();
    for (auto& [name, h] : line.hosts) h->exit.clear();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kBatch));
}
BENCHMARK(packets_up)->Arg(1)->Arg(3)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace macrovpn
