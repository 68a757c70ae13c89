// KernelExit: an exit with root's rights (exit_backend.h): packets enter the host through a TUN, and its
// kernel forwards and masquerades them.  The policy is asked for every packet before it enters; nft rules of
// ours hold the same lines once more (nothing from the tunnel to the host or back into the tunnel, and
// towards it only answers).
//
// Everything is in one nft table named after the device, and goes with this object; what a run that died left
// behind, the next one removes.  Forwarding stays on after a crash, as nobody can tell then who wanted it.
//
// Lease numbers should not be used again within the kernel's longest connection timeouts: it knows leases by
// address.
#pragma once
#include "shell/exit/exit_backend.h"

namespace macrovpn::shell {

class KernelExit final : public ExitBackend {
 public:
  static Result<std::unique_ptr<KernelExit>> create(Reactor&, Rng&, PacketPool&, ExitConfig, OnPackets);
  ~KernelExit() override;

  void inject(std::span<Packet> packets) override;
  void set_mtu(routing::LeaseNumber, uint16_t mtu) override;
  void forget(routing::LeaseNumber) override;
  const ExitCounters& counters() const override;
  const std::string& device_name() const;

 private:
  struct Parts;
  explicit KernelExit(std::unique_ptr<Parts> parts);
  void on_device();
  void tick();

  std::unique_ptr<Parts> parts_;
};

}  // namespace macrovpn::shell
