// TCP and calls of simulated computers through circuits of the shipped nodes.
#include "sim/programs/load_program.h"

#include <gtest/gtest.h>

#include "core/routing/address_rewrite.h"
#include "sim/load/bulk.h"
#include "sim/load/site.h"
#include "sim/net/topology.h"
#include "sim/world/world.h"

namespace macrovpn::sim {
namespace {

constexpr size_t kRelays = 6, kExits = 6, kClientSystem = 100;

struct Overlay {
  Overlay(size_t hops, Duration apart, uint64_t seed = 1) : world(config(apart, seed)) {
    site = topology.assign_site();
    server = add(HostKind::server, "server", site, 0);
    auto answering = std::make_unique<LoadProgram>(std::make_unique<Site>(SiteConfig{}, random));
    answers = answering.get();
    world.add_program(server, std::move(answering));
    for (size_t i = 0; i < kRelays + kExits; i++)
      relays.push_back(add(i < kRelays ? HostKind::relay : HostKind::exit, "relay " + std::to_string(i), topology.assign(i).v4, number_of(i)));
    client = add(HostKind::client, "client", topology.assign(kClientSystem).v4, number_of(kClientSystem), hops);
  }
  template <class Load, class Config>
  const Load& run(Config settings, Duration lasts) {
    auto load = std::make_unique<Load>(settings, random);
    const Load& shown = *load;
    world.add_program(client, std::make_unique<LoadProgram>(std::move(load)));
    world.start();
    world.run_for(lasts);
    EXPECT_FALSE(world.failure());
    return shown;
  }
  Mono soon() const { return world.began() + 5s; }
  static const IpAddress& inside() { return routing::InsideAddresses::get().client4; }

  static WorldConfig config(Duration apart, uint64_t seed) {
    WorldConfig c{.seed = seed, .flat = apart, .news = 1s};
    c.network.id.bytes = {1};
    c.network.guard_age = Duration::zero();
    c.network.extra_global = Topology::extra_global();
    return c;
  }
  uint32_t number_of(size_t system) const { return topology.systems()[system].number.value; }
  HostId add(HostKind kind, const std::string& name, const IpAddress& address, uint32_t as, size_t hops = 3) {
    const LinkModel line{.rate = megabits(50), .queue = bytes_in(megabits(50), 100ms)};
    HostSpec spec{.kind = kind, .name = name, .address = address, .as_number = as, .up = line, .down = line};
    if (kind == HostKind::client) spec.client = node::ClientConfig{.hops = hops};
    return world.add_host(spec);
  }

  SeededRng random{9};
  Topology topology{{.hosting = 100, .homes = 10, .mobile = 1}, random};
  World world;
  IpAddress site;
  HostId server{}, client{};
  std::vector<HostId> relays;
  LoadProgram* answers = nullptr;
};

TEST(LoadProgram, ADownloadThroughCircuitsIsWholeAndFillsTheLine) {
  for (const size_t hops : {1u, 3u}) {
    Overlay o(hops, 10ms);
    const Bulk& bulk = o.run<Bulk>(
        BulkConfig{.site = Endpoint{o.site, 443}, .local = Overlay::inside(), .tcp = {.mtu = 1376}, .down = 20'000'000, .begins = o.soon()}, 15s);
    EXPECT_TRUE(bulk.is_finished());
    EXPECT_EQ(bulk.report().failed + bulk.report().wrong_bytes, 0u);
    // A line of 50 Mbit/s, of which headers and layers take 8 of a hundred; slow start takes its time.
    EXPECT_GT(bulk.kilobits_per_second(), 30'000u) << hops;
    EXPECT_LT(bulk.kilobits_per_second(), 47'000u) << hops;
    // A connection and a request: two round trips over each link.
    EXPECT_NEAR(static_cast<int>(bulk.report().first_byte.at(500) / 1ms), static_cast<int>(4 * 10 * (hops + 1)), 15);
  }
}

TEST(LoadProgram, AnUploadArrivesAsItWasSent) {
  Overlay o(3, 10ms);
  const Bulk& bulk =
      o.run<Bulk>(BulkConfig{.site = Endpoint{o.site, 443}, .local = Overlay::inside(), .tcp = {.mtu = 1376}, .up = 5'000'000, .begins = o.soon()}, 12s);
  EXPECT_TRUE(bulk.is_finished());
  EXPECT_EQ(o.answers->load().report().bytes_down, 5'000'000u);
  EXPECT_EQ(o.answers->load().report().wrong_bytes, 0u);
}

TEST(LoadProgram, ACallThroughCircuitsLosesNothingAndIsNeverLate) {
  Overlay o(3, 20ms);
  const Call& call = o.run<Call>(
      CallConfig{.local = {Overlay::inside(), 40000}, .remote = {o.site, 5004}, .lasts = 20s, .begins = o.soon()}, 32s);
  const LoadReport& r = call.report();
  EXPECT_EQ(r.packets_sent, 1000u);
  EXPECT_GE(r.packets_received, 990u);
  EXPECT_EQ(r.packets_late + r.wrong_bytes, 0u);
  EXPECT_EQ(o.answers->load().report().packets_received, 1000u);
  EXPECT_NEAR(static_cast<int>(r.latency.at(500) / 1ms), 80, 10);
}

}  // namespace
}  // namespace macrovpn::sim
