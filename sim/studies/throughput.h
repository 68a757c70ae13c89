// What one TCP carries through a circuit of three hops: a download over CUBIC or NewReno, whose narrow place is the client's line.
//
// It is held against two things. The bound: what the line's rate leaves for a program, when of each datagram of 1500 bytes 40 are the
// program's own headers, 96 three layers and 28 the outer headers. And the same TCP over one wire with the same rate, queue, delay and
// loss, and as many bytes around each packet: what is missing beside that is the circuit's doing, all else is TCP's. And over a single link:
// what an overlay could carry that repairs losses link by link, as those do whose relays end TCP (Tor).
#pragma once
#include "sim/studies/study.h"
#include "sim/tcp/congestion.h"
#include "sim/net/link.h"

namespace macrovpn::sim {

struct Transfer {
  Duration link{0};       // round trip
  Bandwidth rate;         // of the client's line, each way; its queue holds 100 ms of it
  Ppm loss = 0;           // on each link, each way
  CongestionControl control = CongestionControl::cubic;
  Duration omitted = 20s, lasts = 60s;  // the start is drawn, and not counted
};

// What arrived in each quarter of a second, for the program.
struct Carried {
  static constexpr Duration kStep = 250ms;
  std::vector<uint64_t> bytes;
  uint64_t wrong = 0;          // bytes; always a fault
  uint64_t at_queue = 0;       // datagrams for which the line's queue had no room
  uint64_t moved = 0;          // times that it went to another circuit
  uint64_t bits_per_second(Duration omitted) const;
};

struct ThroughputConfig {
  uint64_t seed = 1;
  std::vector<Transfer> transfers = usual();
  static std::vector<Transfer> usual();
};

Bandwidth bound_of(const Transfer&);
Carried through_a_circuit(const Transfer&, uint64_t seed, Study&);
// As long as so many of its links.
Carried over_one_wire(const Transfer&, size_t links, uint64_t seed);
Study study_throughput(const ThroughputConfig&, Progress&);

}  // namespace macrovpn::sim
