// The host's side of a KernelExit: its TUN, nft table and forwarding switches, set on construction and undone
// at the end.
#pragma once
#include <string>
#include <vector>

#include "core/routing/lease_table.h"
#include "shell/packet_device.h"

namespace macrovpn::shell {

// Flows of clients leave from this port of the host or a higher one; no service may listen there.
inline constexpr uint16_t kFirstClientPort = 61000;

class KernelForwarding {
 public:
  KernelForwarding() = default;
  KernelForwarding(KernelForwarding&&) = default;
  KernelForwarding& operator=(KernelForwarding&&) = delete;
  ~KernelForwarding();
  // place: whose leases the device is for.
  static Result<KernelForwarding> set_up(uint16_t mtu, const routing::ShardPlace& place = {});
  PacketDevice& device() { return device_; }
  const std::string& name() const { return name_; }

 private:
  struct Changed {
    std::string path, before;
  };
  Result<void> change(const std::string& path, const std::string& value);
  Result<void> switch_forwarding_on();

  PacketDevice device_;
  std::string name_;
  std::vector<Changed> changed_;
};

}  // namespace macrovpn::shell
