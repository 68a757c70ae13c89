// MiddleSet: the eight relays out of which this client takes its middles, each for a random 1-12 days (the
// idea of Tor's vanguards, proposal 333): fewer strangers see the client's guard, and no one of them for
// long.
#pragma once
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "base/time.h"
#include "model/keys.h"

namespace macrovpn::peers {

class MiddleSet {
 public:
  static constexpr size_t kSize = 8;
  static constexpr Duration kShortest = std::chrono::hours(24), kLongest = std::chrono::hours(24 * 12);

  bool wants_more() const { return middles_.size() < kSize; }
  void add(const PeerId&, Wall now, Rng&);
  void drop_expired(Wall now);  // what a clock that jumped left for longer than kLongest ends then
  std::vector<PeerId> ids() const;

  // Relay ids and the hours of their ends.  Without it each start of the program would draw eight strangers anew.
  std::vector<uint8_t> save() const;
  static Result<MiddleSet> load(Bytes);

 private:
  struct Middle {
    PeerId id;
    Wall until;
  };
  std::vector<Middle> middles_;
};

}  // namespace macrovpn::peers
