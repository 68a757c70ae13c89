// Observations: what a client saw of the relays that its circuits went through.  Only what one saw oneself cannot be lied about by
// others, so this comes before every measurement of strangers (find_peers.h).
//
// Private: nobody is told, and what is stored says no more of time than the day.  An entry is a fold of the past: an event weighs
// 1/64 of all before it, and what was seen kHalfLife ago counts half.  At most kMaxObserved relays; a new one takes the place of the
// one of which least is known.
#pragma once
#include <map>
#include <optional>
#include <vector>

#include "base/result.h"
#include "model/relay_seen.h"

namespace macrovpn::peers {

class Observations {
 public:
  static constexpr size_t kMaxObserved = 2048;
  static constexpr int kHalfLifeDays = 14;
  static constexpr size_t kSavedSize = 38;                                // bytes a relay
  static constexpr size_t kMaxSaved = 3 + kMaxObserved * kSavedSize;

  enum class Way : uint8_t { through_others, direct };
  void worked(const PeerId&, Wall);
  void failed(const PeerId&, Wall);
  // The last two change only what is known already, so that they cost no memory while packets pass.
  void round_trip(const PeerId&, Duration, Way);
  void throughput(const PeerId&, Bandwidth);
  std::optional<RelaySeen> seen(const PeerId&, Wall) const;  // nothing: never used
  // That failed more than they worked, lately; one failure of a relay that never worked is forgotten after kHalfLifeDays.  Ascending.
  std::vector<PeerId> failing(Wall) const;
  bool works(const PeerId&, Wall) const;  // for us, today or yesterday, oftener than not
  size_t size() const { return entries_.size(); }

  std::vector<uint8_t> save() const;
  static Result<Observations> load(Bytes);

 private:
  struct Entry {
    RelaySeen seen;
    uint16_t day = 0;  // of the last event, since 1970
  };
  Entry& touch(const PeerId&, Wall);
  std::map<PeerId, Entry> entries_;
};

}  // namespace macrovpn::peers
