// Which relays of the directory answer just now.  Relays probe a random twentieth of it an hour and keep what they found to themselves, until a
// client asks: the three with which it compares its copy, each time.  What two thirds of the answers of three comparisons say, and three at least, is
// believed (of three alone, all).  The majority of three would be simpler; but whoever has a quarter of the weights has two of three in
// 16 of 100 comparisons, and could then steer a client to his own relays; he has three of three in 1.6, and four of six in 3.8.
// Nothing is signed or handed on, and membership never depends on it.
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

inline constexpr Duration kProbedEach = std::chrono::hours(20);  // a relay, by one other, about
inline constexpr Duration kSoonestProbe = 500ms;           // from one to the next
inline constexpr unsigned kDeadAfter = 2;                  // probes in a row
inline constexpr Duration kSecondProbe = std::chrono::minutes(5);
inline constexpr Duration kDeadAgain = std::chrono::hours(1);  // then it is probed again, in every second turn
inline constexpr Duration kDeadFor = std::chrono::hours(72);  // not probed for so long, it counts as alive
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
  explicit LivenessProber(Rng& rng, Duration each = kProbedEach) : rng_(rng), each_(each) {}
  // Whom to probe now, if anybody; one at a time.
  EntryPtr next(Mono now, const RelaySet&);
  enum class Found : uint8_t { alive, silent, not_tried };
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
  Duration each_;
  std::map<ShortId, Silent> silent_;  // at most as many as the set has
  EntryPtr known_silent(Mono now, const RelaySet&, unsigned times, Duration since) const;
  Mono next_at_ = kLongAgo;
  bool busy_ = false, is_turn_of_dead_ = false;
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

// What sources said of a relay.
struct LivenessVotes {
  uint8_t said = 0, dead = 0;
};
using LivenessRound = std::vector<std::pair<ShortId, LivenessVotes>>;  // by id

// A client's side: what three relays say, of one comparison.
class LivenessMap {
 public:
  // What to ask of a source after its answer to `asked`; none: this part is done, or given up.
  std::vector<IdRange> on_answer(size_t source, const IdRange& asked, const MapAnswer&, std::span<const EntryPtr> all);
  LivenessRound round() const;
  size_t size() const { return votes_.size(); }

 private:
  std::map<ShortId, LivenessVotes> votes_;  // a bit a source; at most kMaxRelays
  unsigned further_ = 0;  // questions beyond the first, of all sources
};

enum class Liveness : uint8_t { unknown, alive, dead };

// What is believed of the last comparisons.  16 bytes a relay and comparison.
class LivenessMemory {
 public:
  static constexpr size_t kRounds = 3;
  static constexpr unsigned kAtLeast = 3;  // who say that it is dead
  void add(LivenessRound, Wall at);
  void drop_old(Wall now);  // comparisons from before kDeadFor, and those of the future
  Liveness of(ShortId) const;
  std::vector<ShortId> dead() const;  // ascending

  // The votes on those that somebody said to be dead, so that a client that starts does not try them again; the others are unknown after it.
  //
  //   version 1 | rounds 1 | each: hour of Unix time 4, count 2, each by id: short id 8 (big-endian) | said 1 | dead 1
  static constexpr size_t kMaxSaved = 2 + kRounds * (6 + kMaxRelays * 10);
  std::vector<uint8_t> save() const;
  static Result<LivenessMemory> load(Bytes);

 private:
  struct Dated {
    Wall at;  // to the hour
    LivenessRound round;
  };
  std::vector<Dated> rounds_;  // the newest last
};

}  // namespace macrovpn::discovery
