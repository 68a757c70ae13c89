// RelaySeen: what this node saw of a relay itself.  Private: it is told to nobody, since it says whom this node uses.
#pragma once
#include "base/time.h"
#include "model/relay.h"

namespace macrovpn {

struct RelaySeen {
  Duration round_trip{};  // to it through the relays before it, smoothed; zero: not measured
  Duration direct{};      // the shortest to it alone, without a relay between; zero: not measured
  Bandwidth throughput;   // that circuits through it carried for us; less than it could, mostly; zero: not measured
  double worked = 0;      // circuits that came up through it, recent ones counting more
  double failed = 0;      // and those that failed by its silence
  bool was_used() const { return worked + failed > 0; }
  // 0 to 1; what was seen once is not much.
  double reputation() const { return worked / (worked + failed + 1); }
};

}  // namespace macrovpn
