// Choosing the relays of a circuit: local, from the verified directory, by a capped weighted draw under
// diversity rules.  Guards and middles come from sets that peers/ keeps; here they are just preferences that
// the caller passes.
//
// A guard, a kept exit and a middle of the middle set are asked for by id.  Only a first exit and what no set has are drawn from all
// relays, so that a circuit more does not cost a walk through a directory of thousands.
//
// Rules: no two hops share an IPv4 /16 or IPv6 /32 (lengths from the network file), AS, family or identity.
// Weight: claimed bandwidth, bounded for each relay, prefix, AS and family, times age (weights.h).
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "model/network.h"
#include "model/relay.h"

namespace macrovpn::routing {

inline constexpr size_t kMaxHops = 5;

enum class Role : uint8_t { guard, middle, exit };

struct PathRequest {
  size_t hops = 3;
  std::vector<PeerId> guards;   // in order of use; the first that fits is taken
  std::vector<PeerId> middles;  // the middle set; empty: any
  std::optional<PeerId> exit;   // keep this exit (its lease lives there)
  // On the way of a circuit that failed, or is left: not as exit (unless kept), and as middle only if the set has no other.  Such a one
  // comes before strangers: most are innocent, and in an outage all of them would be on the list at once.
  std::vector<PeerId> avoid;
  // As well, ascending, for days: failed us and hardly ever worked.  Any number.
  std::vector<PeerId> doubted;
  std::vector<PeerId> silent;   // known not to answer: never as middle or (unless kept) exit
  std::optional<Region> exit_region;
};

// The relays that a path may be made of.
class Candidates {
 public:
  virtual ~Candidates() = default;
  virtual const RelayInfo* find(const PeerId&) const = 0;            // nullptr: unknown, or not to be used
  virtual std::span<const RelayInfo* const> all() const = 0;        // in order of their ids
  virtual Region region_of(const RelayInfo& r) const { return r.region; }  // as far as it is believed
};

// Relays in order, first hop first.  The error says what the directory lacks.
Result<std::vector<const RelayInfo*>> choose_path(const PathRequest&, const Candidates&, const Network&, Wall now, Rng&);

// Whether two relays may stand in one circuit.
bool diverse(const RelayInfo&, const RelayInfo&, const Network&);
bool fits(const RelayInfo&, Role);

// Draws by weight out of `candidates`, which outlive it.
class WeightedDraw {
 public:
  WeightedDraw(std::span<const RelayInfo* const> candidates, const Network&, Wall now);
  const RelayInfo* draw(Rng&) const;  // nullptr if there is none

 private:
  std::span<const RelayInfo* const> candidates_;
  std::vector<uint64_t> up_to_;  // the sums of the weights
};
const RelayInfo* weighted_draw(std::span<const RelayInfo* const> candidates, const Network&, Wall now, Rng&);  // one

}  // namespace macrovpn::routing
