// Exchange: one copy of the directory and its conversations with others: comparing, asking for what is missing, having it
// checked, taking it in, and serving it.  Gossip (relays) and ClientCopy (clients) say whom to talk to and when.
//
// Without I/O: a session is a number that the driver gave to a conversation inside a WireGuard session of ours, so nothing is ever
// said to an address that was not proved, and nobody's reflector.  Checking signatures costs 80 to 240 µs and work 19 ms,
// so it is the driver's too: each SyncCheck comes back by on_checked(), from whichever thread ran run_check().
//
// What comes is hostile: it is counted, never asserted.  Only what was asked for is taken.  A body that does not verify was handed on
// by somebody who should have checked it: that session is muted (nothing it says is heard any more).  The same for who offers and does
// not deliver kMaxUnanswered times.
//
// Bounds: kMaxSyncSessions, kMaxWants in all and kMaxWantsOfOne of one session (kMaxWantsOfCaller, if it opened it), kWindow asked of one at
// a time, kMaxChecks, kMaxHalves, kMaxRefused; a session may have kServeBurst bytes and kServeRate a second served, kHashBurst items and
// kHashRate a second compared, kCheckBurst and kCheckRate a second of what it delivers checked; all together kServeAll….
#pragma once
#include <deque>
#include <map>

#include "base/rng.h"
#include "core/discovery/reconcile.h"

namespace macrovpn::discovery {

using SyncSession = Strong<struct SyncSessionTag, uint32_t>;
enum class SyncRole : uint8_t { relay, client };  // who is at the other end

inline constexpr size_t kMaxSyncSessions = 1024;
inline constexpr size_t kMaxWants = 60'000, kMaxWantsOfOne = 26'000, kMaxWantsOfCaller = 1'024, kWindow = 256;
inline constexpr size_t kMaxChecks = 2048, kMaxHalves = 64, kMaxRefused = 4096, kMaxSources = 3;
inline constexpr unsigned kMaxUnanswered = 512, kMaxTries = 4, kMaxRoots = 3;
inline constexpr int64_t kServeBurst = 4 << 20, kServeRate = 512 << 10;  // bytes
inline constexpr int64_t kHashBurst = 1'000'000, kHashRate = 50'000;     // items
inline constexpr int64_t kServeAllBurst = 64 << 20, kServeAllRate = 4 << 20;
inline constexpr int64_t kCheckBurst = 26'000, kCheckRate = 5;
inline constexpr Duration kAnswerTime = 2s;   // what was asked for is asked of the next source
inline constexpr Duration kRefusedFor = std::chrono::minutes(10);

struct SyncMessage {
  SyncSession to;
  SyncKind kind;
  std::vector<uint8_t> body;
};

// Something to verify: pure, on any thread.
struct SyncCheck {
  uint64_t id = 0;
  Datum kind = Datum::whole;
  std::vector<uint8_t> bytes;
  EntryPtr base;      // what is known of the relay: what a renewal renews, and a body whose work was checked
  bool work = false;  // whatever the depth: it would push others out
};
enum class CheckFailure : uint8_t { forged, stale };  // stale: expired or of the future, by our clock
// Clients, relays.  A client checks the work of those only that would take another's place: what they cost is what keeps them from it.
enum class CheckDepth : uint8_t { signatures, signatures_and_work };
Result<EntryPtr, CheckFailure> run_check(const SyncCheck&, const Network&, CheckDepth, Wall now);

struct SyncOut {
  std::vector<SyncMessage> messages;
  std::vector<SyncCheck> checks;
  std::vector<PeerId> calls;          // open a session with that relay: Gossip
  std::vector<SyncSession> hang_ups;  // these are not needed any more
};

// Who opened a session.
enum class Opened : uint8_t { by_us, by_them };

// How a comparison of everything with one other went.
struct RoundEnd {
  SyncSession with;
  bool answered = false;
  bool equal = false;               // at the first question
  size_t learned = 0;               // items that it brought and that were news
  // Of clients' rounds, ascending: what it said that it does not have, and that it has.  What it did not get to say is in neither.
  std::vector<ShortId> lacking, has;
};

// Who may come into the set, beside what the set itself demands; asked once for each new version that verified.  What it refuses now may
// come by publish() later, or be offered again.
class Gatekeeper {
 public:
  virtual ~Gatekeeper() = default;
  virtual bool may_enter(const Now&, const EntryPtr&, SyncSession from) = 0;
};

struct SyncCounts {
  uint64_t malformed = 0, unsolicited = 0, forged = 0, stale = 0, muted = 0, over_budget = 0, unanswered = 0, full = 0;
};

class Exchange {
 public:
  // The set: empty, or what a store held.  with_lists: a relay.
  Exchange(RelaySet, Rng&, Answers);
  // A place for each of those that we open is up to who drives this (node/directory_side.h): what others open is bounded there.
  void open(Mono now, SyncSession, SyncRole, Opened = Opened::by_us);
  void close(SyncSession);
  void on_message(const Now&, SyncSession, SyncKind, Bytes, SyncOut&);
  void on_checked(const Now&, uint64_t id, const Result<EntryPtr, CheckFailure>&, SyncOut&);
  void on_deadline(const Now&, SyncOut&);
  Mono next_deadline() const;

  // Compares everything.  Ends in rounds(); one at a time with each.
  void begin_round(const Now&, SyncSession, SyncOut&, std::vector<ShortId> known_to_lack = {});
  Inserted publish(const EntryPtr&);  // a descriptor of our own, or from our store: already verified
  void expire(Wall now) { set_.expire(now, changes_); }
  void drop(ShortId id) { set_.drop(id, changes_); }
  void set_gate(Gatekeeper* gate) { gate_ = gate; }  // outlives this; nullptr: all may enter

  const RelaySet& set() const { return set_; }
  // ClientCopy: what it keeps of what it was offered.  Then, with no session left: what was still asked for or checked is not wanted.
  void replace_set(RelaySet set) { set_ = std::move(set); }
  void forget_wants();
  bool is_muted(SyncSession) const;
  bool is_open(SyncSession s) const { return sessions_.contains(s); }
  const SyncCounts& counts() const { return counts_; }
  // What happened since they were last emptied: who drives this empties all of them now and then.
  std::vector<Item>& news() { return news_; }
  std::vector<RoundEnd>& rounds() { return ended_; }
  SetChanges& changes() { return changes_; }
  void check_invariants() const;

 private:
  struct Budget {
    int64_t left, burst, rate;
    Mono at;
    bool spend(Mono now, int64_t amount);  // may end below zero, never begins there
  };
  struct Round {
    SyncKey key{};
    Mono quiet_since;
    unsigned roots = 0;
    RoundEnd end;
  };
  struct Session {
    SyncRole role;
    Opened opened;
    Budget bytes, hashes, checks;
    std::deque<ShortId> to_ask;
    size_t asked = 0;       // in flight
    size_t wants = 0;       // that name it as a source
    unsigned unanswered = 0;
    bool muted = false;
    std::optional<Round> round;
  };
  struct Want {
    uint32_t seq = 0;
    bool whole = false;     // a renewal would not do
    bool in_flight = false, checking = false;
    unsigned tries = 0;
    Mono asked;
    std::vector<SyncSession> sources;  // the first is asked
  };
  struct Checking {
    ShortId id;
    SyncSession from;
    Datum kind;
    bool work = false;
  };
  using Wants = std::map<ShortId, Want>;

  void on_have(const Now&, SyncSession, Session&, Bytes, SyncOut&);
  void on_want(const Now&, SyncSession, Session&, Bytes, SyncOut&);
  void on_data(const Now&, SyncSession, Session&, Bytes, SyncOut&);
  void on_ranges(const Now&, SyncSession, Session&, Bytes, SyncOut&);
  void on_list(const Now&, SyncSession, Session&, const View&, const RangePart&, std::vector<Item>& have);
  void note_same(Session&, const View&, ShortId low, ShortId high);
  bool is_worth_checking(const Want&, const DataItem&, const EntryPtr& known) const;
  bool serve(Mono now, Session&, size_t bytes);
  void consider(const Now&, SyncSession, Session&, const Item&, bool disputed);
  void pump(Mono now, SyncSession, Session&, SyncOut&);
  void ask_again(Mono now, Wants::iterator, SyncOut&);
  void forget(Wants::iterator);
  void drop_source(Want&, SyncSession);
  void mute(SyncSession, Session&);
  void take(const Now&, const Checking&, const EntryPtr&);
  Inserted insert(const EntryPtr&);
  Inserted insert_proof(const Now&, const EntryPtr&);
  void send_root(const Now&, SyncSession, Session&, SyncOut&);
  void watch_round(const Now&, SyncSession, Session&, SyncOut&);
  bool is_refused(Mono now, ShortId, uint32_t seq);

  RelaySet set_;
  Gatekeeper* gate_ = nullptr;
  Rng& rng_;
  Answers answers_;
  Budget serve_all_{kServeAllBurst, kServeAllBurst, kServeAllRate, kLongAgo};
  std::map<SyncSession, Session> sessions_;
  Wants wants_;
  std::deque<std::pair<Mono, ShortId>> in_flight_;  // by when they are due
  std::map<uint64_t, Checking> checking_;
  std::deque<EntryPtr> halves_;
  std::map<ShortId, uint32_t> refused_;
  Mono refused_since_ = kLongAgo;
  uint64_t next_check_ = 1;
  bool pump_due_ = false;  // a session has questions that another one left behind
  std::vector<Item> news_;
  std::vector<RoundEnd> ended_;
  SetChanges changes_;
  SyncCounts counts_;
};

}  // namespace macrovpn::discovery
