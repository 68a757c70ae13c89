// What a middle relay's node does with a train that comes down from an exit, without sockets.
#include <benchmark/benchmark.h>

#include "core/node/node_world_test.h"

namespace macrovpn {
namespace {

constexpr size_t kTrain = 44;

// A circuit of three hops, and a long datagram that its middle gets from the exit.  A relay does not open what comes down, so
// the same bytes can come again and again.
struct Middle : node::SmallNet {
  Host* relay = nullptr;
  Endpoint from;
  SocketId socket;
  std::vector<uint8_t> datagram;
  size_t exits_asked = 0;

  Middle() : SmallNet({.hops = 3, .spare_circuits = 0}) {
    link = 1ms;
    publish();
    const node::Circuit* circuit = connect(client(), TunId{1});
    MV_ASSERT(circuit != nullptr);
    Host& exit = host_of(circuit->hops[2]);
    relay = &host_of(circuit->hops[1]);
    tap = [&](const Flight& f) {
      if (f.from != &exit || f.to != relay || f.bytes.size() < 1000) return;
      from = {exit.address, uint16_t{51820}};
      socket = f.socket;
      datagram.assign(f.bytes.begin(), f.bytes.end() - 1);
    };
    send_from_program(client(), TunId{1}, node::udp_packet("10.10.0.2", "192.0.2.1", 1300));
    run_for(100ms);
    MV_ASSERT(exit.exit.size() == 1);
    auto answer = exit.exit[0];
    std::swap_ranges(answer.begin() + 12, answer.begin() + 16, answer.begin() + 16);
    std::swap_ranges(answer.begin() + 20, answer.begin() + 22, answer.begin() + 22);
    send_from_exit(exit, answer);
    run_for(100ms);
    MV_ASSERT(!datagram.empty());
  }
};

void relay_passes_on(benchmark::State& state) {
  Middle world;
  PacketPool pool;
  std::vector<node::Datagram> batch;
  node::Effects fx;
  {
    std::vector<Packet> packets;
    for (size_t i = 0; i < kTrain; i++) packets.push_back(pool.copy_of(world.datagram));
    size_t passed = 0;
    for (auto _ : state) {
      batch.clear();
      for (Packet& p : packets) {
        std::memcpy(p.data(), world.datagram.data(), 16);
        batch.push_back({world.socket, world.from, std::move(p), {}});
      }
      world.relay->node->on_datagrams(world.now, batch, fx);
      MV_ASSERT(fx.datagrams.size() == kTrain);
      for (size_t i = 0; i < kTrain; i++) {
        packets[i] = std::move(fx.datagrams[i].packet);
        packets[i].pop_front(16);
        packets[i].truncate(world.datagram.size());
      }
      fx.datagrams.clear();
      passed += kTrain;
    }
    state.SetItemsProcessed(static_cast<int64_t>(passed));
    batch.clear();
  }
}
BENCHMARK(relay_passes_on);

}  // namespace
}  // namespace macrovpn
