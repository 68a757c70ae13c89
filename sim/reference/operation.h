// Operation: one thing that a user, his network or a relay's operator does, as data: so that a sequence of them can be drawn,
// carried out, printed, and made shorter.  What follows from others' having been carried out (a relay that stops is up) is not
// required: an operation that makes no sense where it stands does nothing, and stays harmless when those before it are taken away.
#pragma once
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"

namespace macrovpn::sim {

// The small network that operations speak of (small_net.h).
inline constexpr size_t kDevices = 3;  // 0 and 1 are of client 0, 2 is of client 1
inline constexpr size_t kClients = 2;
inline constexpr size_t kPlainRelays = 7, kExits = 4;  // relays 0 to 6, exits 7 to 10; the first half of the exits is in one country
inline constexpr size_t kRelays = kPlainRelays + kExits;
inline constexpr size_t kServers = 2;
inline constexpr size_t kNetworks = 4;  // where a client can be: behind three kinds of NAT, or on the Internet itself
constexpr size_t client_of(size_t device) { return device == 2 ? 1 : 0; }

enum class Deed : uint8_t {
  turn_on,      // device
  turn_off,     // device
  hop,          // device
  ask,          // device, server: again each second until there is an answer
  say,          // device, server: once
  trespass,     // device, what: a packet that must not come out
  roam,         // client, network
  block_udp,    // client
  unblock_udp,  // client
  forget_nat,   // client: its NAT starts again
  disturb,      // client, what: its links lose, double or reorder
  mend,         // client
  sleep,        // client
  wake,         // client
  kill,         // client: kill -9
  start,        // client: with its disk
  reconfigure,  // client, what: starts again with other settings
  stop_relay,   // relay: a crash
  start_relay,  // relay
  drain_relay,  // relay: its operator is about to stop it
  replay,       // relay, what: replays what it sends, or no longer
  skew,         // relay, what: its calendar is wrong, or right again
  wait,
  kCount
};

enum Trespass : uint8_t { kPrivateAddress, kMail, kLinkLocal, kOtherTunnel, kForeignSource, kSlotSource, kIpv6, kTrespasses };
enum Disturbance : uint8_t { kLoses, kDoubles, kReorders, kDisturbances };
enum Settings : uint8_t { kTwoHops, kThreeHops, kHopByHop, kOneRoundTrip, kAnyRegion, kHomeRegion, kSettings };

struct Operation {
  Deed deed = Deed::wait;
  uint8_t who = 0, what = 0;
  Duration then{0};  // until the next one

  bool operator==(const Operation&) const = default;
};

std::string words_of(const Operation&);  // "client 0 moves to another network, behind a symmetric NAT"
std::vector<Operation> draw_operations(Rng&, size_t n);

}  // namespace macrovpn::sim
