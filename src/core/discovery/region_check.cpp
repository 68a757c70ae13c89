#include "core/discovery/region_check.h"

#include <algorithm>

#include "core/discovery/countries.h"

namespace macrovpn::discovery {

bool delay_refutes(Region from, Region claim, Duration least) {
  const auto here = country_of(from), there = country_of(claim);
  if (!here || !there || least <= Duration::zero()) return false;
  const double reachable_km = static_cast<double>(least.count()) / 1e6 / 2 * kFibreKmPerMs;
  return least_km_between(*here, *there) > reachable_km;
}

Proof judge_region(const RegionEvidence& e) {
  if (!e.claim.known()) return Proof::unknown;
  size_t refuters = 0, supporters = 0;
  for (const RegionProbe& p : e.probes) {
    if (delay_refutes(p.from, e.claim, p.least)) {
      if (p.trust == RegionProbe::Trust::ours) return Proof::refuted;
      refuters++;
    } else if (p.from == e.claim && p.samples >= kSamples && p.least > Duration::zero() && p.least <= kNear) {
      supporters++;
    }
  }
  if (refuters >= kRefuters) return Proof::refuted;
  const bool verified = e.database == e.claim && supporters >= kSupporters && refuters == 0;
  return verified ? Proof::verified : Proof::claimed;
}

}  // namespace macrovpn::discovery
