// Workload: what a computer does with its network, seen as IP packets. The world feeds it the packets that reach it and the deadlines that it
// asked for, and carries what it sends; it knows no node, no tunnel and no world.
#pragma once
#include <algorithm>
#include <optional>

#include "sim/load/histogram.h"
#include "sim/tcp/endpoint.h"

namespace macrovpn::sim {

// Of the computer itself, by family: what it calls a site from.
struct LocalAddresses {
  LocalAddresses(const IpAddress& four = {}, const IpAddress& six = {}) : v4(four), v6(six) {}
  IpAddress v4, v6;
  const IpAddress& of(const Endpoint& site) const { return site.address.is_v4() ? v4 : v6; }
};

// A site, by the address that is tried first, and the one for when there is no way to that (RFC 8305).
struct SiteAddress {
  SiteAddress(const Endpoint& e = {}, std::optional<Endpoint> another = {}) : first(e), other(another) {}
  Endpoint first;
  std::optional<Endpoint> other;
};

// What it got. Every figure of a workload that it has no use for stays zero.
struct LoadReport {
  uint64_t bytes_down = 0, bytes_up = 0;   // of contents, in order, no byte twice
  uint64_t wrong_bytes = 0;                // that were not what the other side sent: always a fault of what lies between
  uint64_t done = 0, failed = 0;           // pages, transfers, calls
  Histogram latency;                       // of each that was done; of a call, of each packet
  Histogram first_byte;                    // pages and transfers: from the wish to the first byte of an answer
  uint64_t stalls = 0;                     // times that nothing came for kStall although something was asked for
  Duration longest_stall{0};
  uint64_t packets_sent = 0, packets_received = 0, packets_late = 0, packets_twice = 0;  // calls; the other side's figures: its report
  static constexpr Duration kStall = std::chrono::seconds(1);

  // Contents that reached the other end, as far as this side knows: what a call says is known to its hearer alone.
  uint64_t delivered() const { return bytes_down + (packets_sent == 0 ? bytes_up : 0); }
  void add(const LoadReport& other);
};

// Watches for stalls: told when something is wished for and when something came.
class StallWatch {
 public:
  void begin(Mono now) { last_ = now; }
  void progress(Mono now, LoadReport& report) {
    if (last_ == kNever) return;
    const Duration gap = now - last_;
    report.longest_stall = std::max(report.longest_stall, gap);
    if (gap >= LoadReport::kStall) report.stalls++;
    last_ = now;
  }
  void end(Mono now, LoadReport& report) {
    progress(now, report);
    last_ = kNever;
  }

 private:
  Mono last_ = kNever;
};

class Workload {
 public:
  virtual ~Workload() = default;
  virtual void on_packet(Mono now, Bytes packet, PacketSink& out) = 0;
  virtual void on_deadline(Mono now, PacketSink& out) = 0;
  // The first one is when it begins.
  virtual Mono next_deadline() const = 0;
  virtual const LoadReport& report() const = 0;
  // The computer was off, or its addresses are others: whatever was under way is lost, and it begins anew at `now`.
  virtual void restart(Mono now) = 0;
};

}  // namespace macrovpn::sim
