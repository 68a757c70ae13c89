// Topology: autonomous systems, the prefixes that they hold, and which host has which address.
//
//   10.A.0.0/16          public IPv4 of one autonomous system (A: 0 to 255, never 10)      counts as global: extra_global()
//   3fff:0B::/32         public IPv6 of one autonomous system (RFC 9637, documentation)    counts as global
//   198.18.0.0/15        sites that clients visit (RFC 2544, benchmarks)                   counts as global
//   3fff:0fff::/32       the same sites, by IPv6                                           counts as global
//   100.64.0.0/10        between homes and a carrier's NAT (RFC 6598)                      does not
//   192.168.0.0/16       inside homes; each has the same                                   does not
//
// Only ranges that no host of the internet has.  10.10.0.0/16 is left out, since it is the inside of every tunnel.  A /16 and a /32 are
// what paths must differ in (model/network.h), so each system has prefixes of its own there.
//
// Hosts of a system are spread over its /24s, one after the other, so that an honest relay seldom shares a /24; address_in() packs them
// into one prefix, as somebody does who floods a network with relays of a rented range.
#pragma once
#include <vector>

#include "base/rng.h"
#include "base/strong.h"
#include "model/ip.h"
#include "sim/net/access.h"
#include "sim/net/geography.h"

namespace macrovpn::sim {

enum class SystemKind : uint8_t { hosting, homes, mobile };

using AsNumber = Strong<struct AsNumberTag, uint32_t>;
inline constexpr uint32_t kFirstAsNumber = 4'200'000'000;  // RFC 6996: private use

struct AutonomousSystem {
  AsNumber number;
  SystemKind kind = SystemKind::hosting;
  Place place = Place::frankfurt;
  IpPrefix v4, v6;
  uint32_t hosts = 0;  // that have an address of it
};

struct HostAddresses {
  IpAddress v4, v6;
};

struct TopologyModel {
  size_t hosting = 24, homes = 40, mobile = 8;  // systems of each kind; together at most kMostSystems
};

class Topology {
 public:
  static constexpr size_t kMostSystems = 255;
  static constexpr uint32_t kMostHosts = 256 * 254;      // of one system
  static constexpr uint32_t kMostSites = 2 * 256 * 254;
  static constexpr uint32_t kMostBehindCarriers = 1u << 22;

  // The first systems of each kind are in the places with the greatest weights, the rest is drawn.
  Topology(const TopologyModel& model, Rng& random);

  // What a network file of this world says is global.
  static const std::vector<IpPrefix>& extra_global();
  static const IpPrefix& carrier_space();  // 100.64.0.0/10

  const std::vector<AutonomousSystem>& systems() const { return systems_; }
  // Drawn among those of a kind, near a place where there is one.
  size_t draw_system(SystemKind kind, Place near, Rng& random) const;
  // The next addresses of a system.  Asserts kMostHosts.
  HostAddresses assign(size_t system);
  // The `n`th host of a prefix that the caller chose; n from 0, and it must fit.
  static IpAddress address_in(const IpPrefix& prefix, uint32_t n);
  IpAddress assign_site();           // 198.18.0.0/15
  static IpAddress site6(const IpAddress& site);  // of the same computer: 3fff:0fff::198.18.0.1
  IpAddress assign_behind_carrier();  // 100.64.0.0/10: the outside address of a home whose carrier has a NAT
  // Null: no system's.
  const AutonomousSystem* system_of(const IpAddress&) const;

  static Access access_of(SystemKind);  // what hosts of such a system usually have

 private:
  std::vector<AutonomousSystem> systems_;  // by number
  uint32_t sites_ = 0, behind_carriers_ = 0;
};

}  // namespace macrovpn::sim
