// Scenario: a file of sentences, one a line, that says who is in a world, what goes wrong, and what is expected.  The grammar is in
// docs/simulation.md; whatever is not understood is an error with the line's number and what could stand there.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sim/net/access.h"
#include "sim/net/geography.h"
#include "sim/net/nat.h"
#include "sim/world/host.h"

namespace macrovpn::sim {

enum class Work : uint8_t { nothing, browse, download, upload, call };
inline constexpr size_t kWorks = static_cast<size_t>(Work::call) + 1;
const char* to_string(Work);
enum class NatKind : uint8_t { none, full_cone, restricted, port_restricted, symmetric };

// "200 clients browse from europe behind symmetric nat"
struct Crowd {
  int line = 0;
  size_t count = 0;
  HostKind kind = HostKind::client;
  Work work = Work::nothing;
  std::vector<Place> places;  // drawn from; empty: by the weight of places
  std::optional<Access> access;
  NatKind nat = NatKind::none;
  Duration nat_timeout{0};  // zero: the model's own
  bool carrier = false;     // another NAT, of a carrier, behind that
  size_t hops = 3;
  bool hop_by_hop = false;
  size_t spares = 1;
  uint64_t bytes = 0;        // of a page or a file; zero: as is usual (work.cpp)
  Duration pause{0};         // between pages, transfers, calls; zero: as is usual
  Duration call{0};          // how long calls are; zero: as is usual
  Duration roams{0};         // how often they are in another network, about; zero: never
  bool v6 = true;            // exits: they carry IPv6 too
};

enum class Fault : uint8_t {
  crash, sleep, move, leave, wrong_clock, lose, lose_in_bursts, reorder, duplicate, slow, mtu_hole, cut_off, block_udp, forget_nat,
  hop,
  trim, echo, drop, delay, tamper, replay, refuse, collude,
};
const char* to_string(Fault);
inline constexpr size_t kFaults = static_cast<size_t>(Fault::collude) + 1;

// "at 3min 10% of relays crash for 40s"
struct Trouble {
  int line = 0;
  Duration first{0};
  Duration every{0};  // zero: once
  Duration until{0};  // zero: the end
  Ppm share = 0;      // of those of that kind …
  size_t count = 0;   // … or so many
  HostKind who = HostKind::client;
  Fault what{};
  uint64_t amount = 0;   // a share in ppm, bytes, or bit/s
  Duration time{0};      // of a clock that is wrong, of a delay
  Duration lasts{0};     // zero: for good
};

struct Expected {
  uint64_t nodes = 0, packets = 0, bytes_each = 0, circuits_each_minute = 0, fault_kinds = 0;
  Duration recovery = 30s;
  bool nothing_left = false;  // at the end no relay has a leg, a lease or a caller
};

struct Scenario {
  std::string file, about;
  Duration lasts = 1min;
  std::optional<Duration> apart;
  Duration news = 10s;
  Ppm v6_sites = 250'000;  // that a browser or a transfer calls by IPv6
  std::vector<Crowd> crowds;
  std::vector<Trouble> troubles;
  Expected expected;
};

// The error is "FILE:LINE: what is wrong; what may stand there".
Result<Scenario> read_scenario(std::string_view text, const std::string& file);

}  // namespace macrovpn::sim
