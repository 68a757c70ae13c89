// A world with relays behind NATs, for tests.
#pragma once
#include "core/node/hostile_world_test.h"

namespace macrovpn::node {

using Nat = TestWorld::Host::Nat;
inline constexpr TunId kTun{1};

// A client, the guard r0, the middle r1, introducers r2 and r3, and the exit e0 whose NAT is the test's choice.
struct HomeNet : SmallNet {
  enum class Guesses : uint8_t { none, both };
  Guesses guesses;
  explicit HomeNet(Nat exit_nat, Nat middle_nat = Nat::none, size_t hops = 3, Guesses g = Guesses::both, uint64_t seed = 3)
      : SmallNet({.hops = hops, .spare_circuits = 0}, seed, {4, 1}), guesses(g) {
    for (const char* name : {"r2", "r3"}) {
      hosts[name]->config.relay->introducer = true;
      restart(*hosts[name]);
    }
    put_behind("e0", exit_nat);
    put_behind("r1", middle_nat);
    auto& path = client().config.client->pinned_path;
    for (const char* name : {"r0", "r1", "e0"}) path.push_back(id(name));
    path.erase(path.begin(), path.end() - static_cast<std::ptrdiff_t>(hops));
    restart(client());
    publish();
    for (const char* name : {"e0", "r1"}) register_at(name);
    run_for(2s);
  }
  void put_behind(const char* name, Nat kind) {
    hosts[name]->nat = kind;
    if (kind != Nat::none) hosts[name]->introducers = {"r2", "r3"};
  }
  PeerId id(const std::string& name) { return discovery::peer_id_of(hosts.at(name)->config.identity->pub); }
  GuessPart part_of(Nat nat) const {
    if (guesses == Guesses::none || nat == Nat::none) return {};
    return {nat == Nat::hard ? GuessSide::hard : GuessSide::easy, discovery::kGuessSockets};
  }
  void register_at(const char* name) {
    std::vector<PeerId> ids;
    for (const auto& i : hosts[name]->introducers) ids.push_back(id(i));
    command(*hosts[name], [&](Node& n, Effects& fx) { n.set_introducers(now, ids, part_of(hosts[name]->nat), fx); });
  }
  const RelaySide& relay(const char* name) { return *hosts[name]->node->relay(); }
  const IntroductionSide& introductions(const char* name) { return *hosts[name]->node->introductions(); }
  // A packet there and back.
  bool carries() {
    Host& exit = *hosts["e0"];
    const size_t before = exit.exit.size();
    send_from_program(client(), kTun, udp_packet("10.10.0.2", "192.0.2.200", 100));
    return run_until([&] { return exit.exit.size() > before; }, 2s);
  }
};

}  // namespace macrovpn::node
