// FirstSeen: since when each relay of a copy is known here.  A descriptor says itself how old its relay is, and anybody can say 60 days; who
// has kept a copy for a while knows better.  So a relay that came later than kFirstDay after the copy began counts as no older than its coming.
// Those of the first day have their word only: to a newcomer all are new.
//
// 40 bytes a relay.  Times may be rounded to hours by the store.
#pragma once
#include <map>

#include "core/discovery/relay_set.h"

namespace macrovpn::discovery {

inline constexpr Duration kFirstDay = std::chrono::hours(24);

class FirstSeen {
 public:
  // From the store, before everything else; of relays that expired too, who may come back.
  void restore(ShortId, Wall when);
  // The same with its age as far as it is believed here; the relay is known from now on.
  RelayInfo believed(const RelayEntry&, Wall now);
  // After a comparison that was accepted: forgets whoever is not in the set.
  void keep(const RelaySet&);
  size_t size() const { return seen_.size(); }

 private:
  std::map<ShortId, Wall> seen_;
  Wall began_ = Wall::max();
};

}  // namespace macrovpn::discovery
