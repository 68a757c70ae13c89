// PrefixCounts: how many relays of the set live in each address prefix that has a quota.  8 bytes a prefix, sorted.
#pragma once
#include <vector>

#include "model/ip.h"
#include "model/network.h"

namespace macrovpn::discovery {

// The two prefixes of an address that have quotas: v4 /24 within /16, v6 /48 within /32.
struct Homes {
  uint64_t inner, outer;  // names of the prefixes, different for different ones
  auto operator<=>(const Homes&) const = default;
};
Homes homes_of(const IpAddress&);
struct HomeCaps {
  unsigned inner, outer;
};
HomeCaps caps_of(const IpAddress&, const Network&);

class PrefixCounts {
 public:
  unsigned of(uint64_t prefix) const;
  void add(const Homes& h) { change(h.inner, 1), change(h.outer, 1); }
  void take(const Homes& h) { change(h.inner, -1), change(h.outer, -1); }
  bool operator==(const PrefixCounts&) const = default;

 private:
  void change(uint64_t prefix, int by);
  std::vector<uint64_t> counts_;  // prefix << 15 | count, ascending; none is 0
};

}  // namespace macrovpn::discovery
