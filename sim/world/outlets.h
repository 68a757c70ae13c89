// Outlets: what the host of an exit does with the packets of leases: its masquerading, and what its kernel answers.
//
//   lease n of exit e   10.10.0.2, inside ─ core ─ 100.64.0.0 + n ─ outlet ─ an Internet address that nobody had before
//
// Each lease has an Internet address of its own for each family, so that no port has to be translated: what a kernel does with ports
// is nothing that the core could get wrong.  As connection tracking does, an outlet ends with its lease and with its exit's process: what is
// sent to it later reaches nobody, also when the number is another's by then.  SYNs are clamped to what the lease carries, in both
// directions, and what is larger is answered with Packet Too Big, as the shell's exits do.
#pragma once
#include <map>
#include <vector>

#include "base/packet.h"
#include "core/routing/ip_packet.h"
#include "core/routing/lease_table.h"
#include "sim/world/host_id.h"

namespace macrovpn::sim {

class Outlets {
 public:
  static constexpr uint32_t kMost = 1u << 20;  // in the life of a world
  static constexpr uint16_t kUsualMtu = 1376;  // before a lease says another

  // The core says of a lease that it carries so much, or that it is over.
  void set_mtu(HostId exit, routing::LeaseNumber, uint16_t mtu);
  void forget(HostId exit, routing::LeaseNumber);
  void forget_all(HostId exit);

  // From a lease's private address: gets the outlet's Internet address.  False: its source is no lease's.
  bool leave(HostId exit, MutBytes packet);

  // Whose address it is; none: nobody's.
  std::optional<HostId> exit_of(const IpAddress& internet) const;
  enum class Entry : uint8_t { taken, over, too_big };
  // For an Internet address: gets the lease's private one.  Too big: `answer` is for the sender, from the exit's address.
  Entry enter(MutBytes packet, const IpAddress& exit_address, Packet& answer) const;

 private:
  struct Outlet {
    HostId exit;
    routing::LeaseNumber lease;
    bool over = false;
  };
  using Key = std::pair<HostId, uint32_t>;
  uint16_t mtu_of(HostId exit, routing::LeaseNumber) const;
  const Outlet* outlet(const IpAddress& internet) const;

  std::vector<Outlet> outlets_;          // by number
  std::map<Key, uint32_t> number_of_;    // of those that are not over
  std::map<Key, uint16_t> mtu_of_;
};

}  // namespace macrovpn::sim
