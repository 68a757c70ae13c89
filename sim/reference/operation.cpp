#include "sim/reference/operation.h"

#include <array>

namespace macrovpn::sim {
namespace {

constexpr std::array<const char*, kTrespasses> kTrespassWords = {
    "sends to a private address",       "opens a connection to port 25",       "sends to a link-local address",
    "sends to another tunnel's inside", "sends from an address of its LAN",    "sends from an address of another group", "sends an IPv6 packet, which no exit here takes"};
constexpr std::array<const char*, kDisturbances> kDisturbanceWords = {"lose 15 %", "double 30 %", "reorder 20 %"};
constexpr std::array<const char*, kSettings> kSettingWords = {
    "two hops", "three hops", "circuits built hop by hop", "circuits built in one round trip", "exits anywhere", "exits in Germany"};
constexpr std::array<const char*, kNetworks> kNetworkWords = {"behind a port-restricted NAT that forgets after 30 s",
                                                              "behind a symmetric NAT", "behind a full-cone NAT",
                                                              "on the Internet itself"};

struct Weight {
  Deed deed;
  unsigned weight;
  size_t who, what;  // bounds
};
constexpr Weight kWeights[] = {
    {Deed::turn_on, 14, kDevices, 1},         {Deed::turn_off, 6, kDevices, 1},      {Deed::hop, 10, kDevices, 1},
    {Deed::ask, 26, kDevices, kServers},      {Deed::say, 16, kDevices, kServers},   {Deed::trespass, 6, kDevices, kTrespasses},
    {Deed::roam, 6, kClients, kNetworks},     {Deed::block_udp, 3, kClients, 1},     {Deed::unblock_udp, 4, kClients, 1},
    {Deed::forget_nat, 3, kClients, 1},       {Deed::disturb, 4, kClients, kDisturbances}, {Deed::mend, 4, kClients, 1},
    {Deed::sleep, 3, kClients, 1},            {Deed::wake, 5, kClients, 1},          {Deed::kill, 3, kClients, 1},
    {Deed::start, 5, kClients, 1},            {Deed::reconfigure, 3, kClients, kSettings}, {Deed::stop_relay, 8, kRelays, 1},
    {Deed::start_relay, 8, kRelays, 1},       {Deed::drain_relay, 2, kRelays, 1},    {Deed::replay, 3, kRelays, 2},
    {Deed::skew, 2, kRelays, 3},              {Deed::wait, 8, 1, 1}};

Duration draw_pause(Rng& rng) {
  switch (rng.below(20)) {
    case 0: return rng.between(60s, 240s);
    case 1: case 2: case 3: return rng.between(20s, 60s);
    case 4: case 5: case 6: case 7: case 8: return rng.between(1s, 12s);
    default: return rng.between(0ms, 1s);
  }
}

std::string named(const char* what, size_t n) { return std::string(what) + " " + std::to_string(n); }

}  // namespace

std::string words_of(const Operation& o) {
  const std::string device = named("device", o.who) + " of " + named("client", client_of(o.who));
  const std::string client = named("client", o.who), relay = named(o.who < kPlainRelays ? "relay" : "exit", o.who);
  const std::string server = named(" server", o.what);
  switch (o.deed) {
    case Deed::turn_on: return device + " is turned on";
    case Deed::turn_off: return device + " is turned off";
    case Deed::hop: return device + " hops";
    case Deed::ask: return device + " asks" + server + ", each second until there is an answer";
    case Deed::say: return device + " says something to" + server + ", once";
    case Deed::trespass: return device + " " + kTrespassWords[o.what];
    case Deed::roam: return client + " moves to another network, " + kNetworkWords[o.what];
    case Deed::block_udp: return "the network of " + client + " blocks UDP";
    case Deed::unblock_udp: return "the network of " + client + " lets UDP through again";
    case Deed::forget_nat: return "the NAT of " + client + " starts again";
    case Deed::disturb: return "the links of " + client + " " + kDisturbanceWords[o.what];
    case Deed::mend: return "the links of " + client + " are good again";
    case Deed::sleep: return client + " falls asleep";
    case Deed::wake: return client + " wakes up";
    case Deed::kill: return client + " is killed";
    case Deed::start: return client + " starts again, with its disk";
    case Deed::reconfigure: return client + " starts again with other settings: " + kSettingWords[o.what];
    case Deed::stop_relay: return relay + " dies";
    case Deed::start_relay: return relay + " starts again";
    case Deed::drain_relay: return relay + " is about to end and tells its callers";
    case Deed::replay: return relay + (o.what == 0 ? " replays what it sends" : " is honest again");
    case Deed::skew: return relay + (o.what == 0 ? " has a right calendar" : o.what == 1 ? " is 20 minutes ahead" : " is 20 minutes behind");
    case Deed::wait: return "nothing happens";
    case Deed::kCount: break;
  }
  return "";
}

std::vector<Operation> draw_operations(Rng& rng, size_t n) {
  unsigned total = 0;
  for (const Weight& w : kWeights) total += w.weight;
  std::vector<Operation> out;
  for (size_t i = 0; i < n; i++) {
    uint64_t at = rng.below(total);
    const Weight* w = kWeights;
    while (at >= w->weight) at -= w++->weight;
    out.push_back({w->deed, static_cast<uint8_t>(rng.below(w->who)), static_cast<uint8_t>(rng.below(w->what)), draw_pause(rng)});
  }
  return out;
}

}  // namespace macrovpn::sim
