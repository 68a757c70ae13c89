// What the parts of an exit share.
#pragma once
#include <unordered_map>
#include <vector>

#include "core/routing/ip_reply.h"
#include "core/routing/newest_segments.h"
#include "shell/exit/exit_backend.h"

namespace macrovpn::shell {

using routing::IpHeader;
using routing::IpProtocol;
using routing::LeaseNumber;

// Packets for clients, collected during a round of the reactor and handed over as one batch at its end.
class PacketOutput {
 public:
  PacketOutput(Reactor& reactor, PacketPool& pool, ExitBackend::OnPackets on_packets)
      : reactor_(reactor), pool_(pool), on_packets_(std::move(on_packets)) {}
  ~PacketOutput();
  Packet take() { return pool_.take(); }
  PacketPool& pool() { return pool_; }
  void push(Packet p);
  // To be filled by a reader; call pushed() afterwards.
  std::vector<Packet>& queue() { return queue_; }
  void pushed();
  // One UDP datagram, in fragments if it must be.  Not more than 65,507 bytes.
  void push_udp(const Endpoint& from, const Endpoint& to, Bytes payload, uint16_t mtu);

 private:
  void push_fragments(const Packet& header, Bytes transport, uint16_t mtu);
  void flush();

  Reactor& reactor_;
  PacketPool& pool_;
  ExitBackend::OnPackets on_packets_;
  std::vector<Packet> queue_;
  std::optional<Reactor::TimerId> armed_;
  uint32_t fragment_id_ = 1;
};

// How many of something each lease holds.
class PerLease {
 public:
  size_t count(LeaseNumber) const;
  void add(LeaseNumber n) { counts_[n]++; }
  void remove(LeaseNumber);

 private:
  std::unordered_map<LeaseNumber, size_t> counts_;
};

struct ExitContext {
  Reactor& reactor;
  const ExitConfig& config;
  routing::ExitPolicy& policy;
  ExitCounters& counters;
  PacketOutput& out;
  std::unordered_map<LeaseNumber, uint16_t>& mtus;
  std::unordered_map<LeaseNumber, routing::NewestSegments> newest{};  // for clients

  Mono now() const { return reactor.now().mono; }
  uint16_t mtu_of(LeaseNumber n) const {
    const auto it = mtus.find(n);
    return it == mtus.end() ? config.mtu : it->second;
  }
  // Nothing of leases that are gone, to which kernels may send for long.
  routing::NewestSegments* newest_of(LeaseNumber n) { return mtus.contains(n) ? &newest[n] : nullptr; }
  // The lease has another MTU; `device` leads to the kernel that sends to clients.
  void set_mtu(PacketDevice& device, LeaseNumber, uint16_t mtu);
  void forget(LeaseNumber n) {
    mtus.erase(n);
    newest.erase(n);
  }
  // Answers a packet that goes no further.
  void send_unreachable(Bytes packet, const IpHeader&, routing::Unreachable);
  void send_reset(Bytes packet, const IpHeader&);
  // A packet for a client that is larger than its lease's MTU; `device` leads to the kernel that sent it.
  void answer_too_big(PacketDevice& device, Bytes packet, const IpHeader&, uint16_t mtu);
};

// What a failed connect() or sendto() means for the one who tried.
routing::Unreachable unreachable_of(int error);

}  // namespace macrovpn::shell
