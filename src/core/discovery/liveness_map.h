// Which relays of the directory answer just now.  Relays probe a random twentieth of it an hour and keep what they found to themselves, until a
// client asks; it asks three and believes the majority.  Nothing is signed or handed on, and membership never depends on it.
//
// A map covers a range of short ids: one bit for each relay there in the order of ids, 1: it did not answer.  Both sides must mean the same relays, so
// the answer names them by count and digest; where they differ the asker asks for the halves of the range, kMaxSplits deep.
//
//   ask     lowest short id 8 | highest 8
//   answer  lowest 8 | highest 8 | count 4 | digest 8 | bits, the first in the lowest bit of the first byte
//
// What is learned: the asked one, that somebody wants a part of the map (all clients ask for all of it); the asker, nothing of anybody's traffic.
#pragma once
#include <map>

#include "base/rng.h"
#include "core/discovery/relay_set.h"

namespace macrovpn::discovery {

inline constexpr uint64_t kProbedAnHour = 20;              // one in so many
inline constexpr Duration kSoonestProbe = 500ms;           // from one to the next
inline constexpr unsigned kDeadAfter = 2;                  // probes in a row
inline constexpr Duration kSecondProbe = std::chrono::minutes(5);
inline constexpr Duration kDeadFor = std::chrono::hours(24);  // then it counts as alive until probed again
inline constexpr size_t kMaxMapped = 8'000;                // relays in one answer: 1000 bytes of bits
inline constexpr unsigned kMaxSplits = 8;
inline constexpr size_t kMapSources = 3;

struct IdRange {
  ShortId low, high;
  auto operator<=>(const IdRange&) const = default;
};
inline constexpr IdRange kAllIds{{0}, {UINT64_MAX}};

// A relay's side.
class LivenessProber {
 public:
  explicit LivenessProber(Rng& rng) : rng_(rng) {}
  // Whom to probe now, if anybody; one at a time.
  EntryPtr next(Mono now, const RelaySet&);
  enum class Found : uint8_t { alive, silent };
  void on_probed(Mono now, ShortId, Found);
  Mono next_deadline() const { return busy_ ? kNever : next_at_; }
  bool is_dead(Mono now, ShortId) const;
  std::vector<uint8_t> answer(Mono now, const IdRange&, const RelaySet&) const;
  size_t remembered() const { return silent_.size(); }

 private:
  struct Silent {
    unsigned times = 0;
    Mono last;
  };
  Rng& rng_;
  std::map<ShortId, Silent> silent_;  // at most as many as the set has
  Mono next_at_ = kLongAgo;
  bool busy_ = false;
};

std::vector<uint8_t> write_map_ask(const IdRange&);
std::optional<IdRange> read_map_ask(Bytes);

struct MapAnswer {
  IdRange range;
  uint32_t count = 0;
  uint64_t digest = 0;
  Bytes bits;
};
std::optional<MapAnswer> read_map_answer(Bytes);

// A client's side: from three relays, which of its copy are dead.
class LivenessMap {
 public:
  // What to ask of a source after its answer to `asked`; none: this part is done, or given up.
  std::vector<IdRange> on_answer(size_t source, const IdRange& asked, const MapAnswer&, std::span<const EntryPtr> all);
  // By most of those who said something about it; of two who disagree: alive.
  bool is_dead(ShortId) const;
  size_t size() const { return votes_.size(); }

 private:
  struct Votes {
    uint8_t said = 0, dead = 0;  // a bit a source
  };
  std::map<ShortId, Votes> votes_;  // at most kMaxRelays
  unsigned further_ = 0;  // questions beyond the first, of all sources
};

}  // namespace macrovpn::discovery
