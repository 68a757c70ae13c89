// RootlessExit: an exit without privileges (exit_backend.h).  What each part does:
//
//   exit_namespace   the private network in which the kernel's own TCP ends the clients' connections
//   tcp_exit         the real connections, joined by splice(2)
//   udp_exit, ping_exit, dns_service   UDP, ICMP echo and DNS, packet by packet
//
// What the exit's host sees is what a proxy would show: sockets of ours, to the destinations.
#pragma once
#include "shell/exit/exit_backend.h"

namespace macrovpn::shell {

class RootlessExit final : public ExitBackend {
 public:
  // Forks a helper for a moment.  Ignores SIGPIPE from here on, since splice(2) knows no MSG_NOSIGNAL.
  static Result<std::unique_ptr<RootlessExit>> create(Reactor&, Rng&, PacketPool&, ExitConfig, OnPackets);
  ~RootlessExit() override;

  void inject(std::span<Packet> packets) override;
  void set_mtu(routing::LeaseNumber, uint16_t mtu) override;
  void forget(routing::LeaseNumber) override;
  const ExitCounters& counters() const override;
  struct Sizes {
    size_t tcp_flows, udp_ports, pings, dns_flights;
  };
  Sizes sizes() const;
  PacketDevice::Kind device_kind() const;

 private:
  struct Parts;
  explicit RootlessExit(std::unique_ptr<Parts> parts);
  void on_device();
  void tick();

  std::unique_ptr<Parts> parts_;
};

}  // namespace macrovpn::shell
