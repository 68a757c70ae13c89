// ClientCopy: a client's own verified copy of the directory.  Nobody is ever looked up in it elsewhere: paths are drawn from it.
//
// A sync asks up to three relays, one after the other, each through a session of its own that the driver opened (through
// a circuit but for the very first start): all that they have that is missing here, so the copy is the union, and what each of them
// lacks.  What a relay learns is how two sets differ, from nobody in particular.
//
// - A relay may be chosen for a path if at least two of the three said that they have it (all, where only one or two answered).  What only one
//   had is not kept at all: a single source neither pushes relays nobody else knows on us, nor tells us apart by them at the next sync.
// - Nobody takes another's place here without the network's proof of work, and what a refused sync brought is not kept, but newer versions of
//   relays that were: whoever floods a copy gets nobody out of it.
// - A source that does not come to an end within kSourcePatience, or whose session ends before, counts as one that did not answer.
// - A source that lacks an item older than 10 minutes that all the others had gets a strike: the caller counts them.
// - Where the sources differ by more than a tenth of the set, that is said; a newcomer, who has nothing to go by, refuses it.  So does who
//   was away so long that more than half of what it knew has expired.  Others take then only what they knew and what all sources have.
// - A set that shrank strangely is refused: the old one is used on, and it is said.  Strangely: more than 30 % and at least 8 relays fewer than
//   were last accepted; or as many of those that were and have not expired are missing (others in their place are no excuse); or 50 relays
//   and more that live in fewer than 10 networks (prefixes of the network file's diversity lengths:
//   addresses can be checked, AS numbers are claims).  So private networks may lose 7 relays at once, and small ones may live in one rack.
//   accept_anyway() is the user's word.
#pragma once
#include <set>
#include <utility>

#include "core/discovery/exchange.h"

namespace macrovpn::discovery {

inline constexpr size_t kSyncSources = 3;
inline constexpr size_t kShrunkPercent = 30, kShrunkAtLeast = 8;
inline constexpr size_t kLargeNetwork = 50, kFewPrefixes = 10;
inline constexpr size_t kSourcesDifferPercent = 10;
inline constexpr Duration kMustBeKnownAfter = std::chrono::minutes(10);
inline constexpr unsigned kMaxRoundsOfOne = 12, kIdleRounds = 3;
inline constexpr Duration kSourcePatience = std::chrono::minutes(3);

struct SyncVerdict {
  enum class Kind : uint8_t { accepted, shrunk, too_few_networks, sources_disagree, nobody_answered };
  Kind kind = Kind::nobody_answered;
  size_t before = 0;    // relays that could be chosen
  size_t found = 0;     // that could be now
  size_t lost = 0;      // known before, not expired, and not found
  size_t prefixes = 0;  // that they live in
  size_t answered = 0;  // sources
  bool sources_differ = false;
  std::vector<SyncSession> struck;
  bool refused() const { return kind != Kind::accepted && kind != Kind::nobody_answered; }
  std::string text() const;  // for a person: what happened, why, what to do
};

class ClientCopy {
 public:
  ClientCopy(const Network& network, Rng& rng) : exchange_(RelaySet(network), rng, Answers::by_asking), kept_(network), offered_(network) {}
  // From the store, at start: entries that were verified, whether they could be chosen, and how many could be when that was last judged.
  void restore(const EntryPtr&, bool could_be_chosen);
  void restore_count(size_t chosen) { before_ = chosen; }

  // 1 to 3 sessions that are open; none while is_syncing().
  void sync(const Now&, const std::vector<SyncSession>&, SyncOut&);
  void on_message(const Now&, SyncSession, SyncKind, Bytes, SyncOut&);
  void on_checked(const Now&, uint64_t check, const Result<EntryPtr, CheckFailure>&, SyncOut&);
  void on_closed(const Now&, SyncSession, SyncOut&);
  void on_deadline(const Now&, SyncOut&);
  Mono next_deadline() const;

  bool is_syncing() const { return !sources_.empty(); }
  // Once after each sync.
  std::optional<SyncVerdict> take_verdict() { return std::exchange(verdict_, std::nullopt); }
  void accept_anyway();
  bool may_choose(ShortId id) const { return chosen_.contains(id); }
  const RelaySet& set() const { return exchange_.set(); }
  Exchange& exchange() { return exchange_; }

 private:
  struct Source {
    SyncSession session;
    bool answered = false;
    unsigned rounds = 0, idle = 0;  // idle: the last so many brought nothing, and yet it was not equal
    std::vector<ShortId> lacking;  // ascending
    std::set<ShortId> has;
    Mono began = kNever;
  };
  void look(const Now&, SyncOut&);
  void end_round(const Now&, RoundEnd&&, SyncOut&);
  void end_source(const Now&, SyncOut&);
  void begin_source(const Now&, SyncOut&);
  void judge(Wall now);
  SyncVerdict::Kind verdict_on(const SyncVerdict&) const;
  bool has_nothing_to_go_by() const { return known_.size() * 2 < before_ || before_ == 0; }
  void keep(const RelaySet&);
  void strike(Wall now, const RelayEntry&, SyncVerdict&) const;
  size_t prefixes_of(const std::set<ShortId>&) const;

  Exchange exchange_;
  std::vector<Source> sources_;  // of the sync that runs
  size_t at_ = 0;                // which of them
  std::map<ShortId, uint8_t> seen_;  // bits: at which source
  std::set<ShortId> chosen_, refused_;
  std::set<ShortId> known_;  // could be chosen as the sync began, and had not expired
  RelaySet kept_;     // as it was when the sync began
  std::vector<EntryPtr> gone_before_;  // expired when it began; not told to the store yet
  RelaySet offered_;  // of the sync that was refused: what accept_anyway() takes
  size_t before_ = 0;
  std::optional<SyncVerdict> verdict_;
};

}  // namespace macrovpn::discovery
