#include "core/peers/middle_set.h"

#include <algorithm>

namespace macrovpn::peers {

void MiddleSet::add(const PeerId& id, Wall now, Rng& rng) {
  const bool known =
      std::any_of(middles_.begin(), middles_.end(), [&](const Middle& m) { return m.id == id; });
  if (known || !wants_more()) return;
  middles_.push_back({id, now + rng.between(kShortest, kLongest)});
}

void MiddleSet::drop_expired(Wall now) {
  std::erase_if(middles_, [&](const Middle& m) { return m.until <= now; });
}

void MiddleSet::forget(const PeerId& id) {
  std::erase_if(middles_, [&](const Middle& m) { return m.id == id; });
}

std::vector<PeerId> MiddleSet::ids() const {
  std::vector<PeerId> out;
  for (const Middle& m : middles_) out.push_back(m.id);
  return out;
}

}  // namespace macrovpn::peers
