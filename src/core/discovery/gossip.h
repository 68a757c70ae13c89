// Gossip: how relays keep their copies of the directory equal.
//
//   news        are pushed: HAVE to the 6 neighbours, 100 to 200 ms after the first, and 6 s after the last push, so that several go together
//               where there are many
//   every 30 to 90 s   one neighbour is compared with; what push lost, or who was away, is found then
//   one time in five   6 new neighbours are drawn from the own copy, no two of one prefix (the network's diversity lengths)
//
// A neighbour that cannot be called, does not answer a comparison, is muted or whose session ended (WireGuard notices within some 20 s of
// the first message that nobody took) is replaced at once, and the new one compared with.  Others call us as their neighbour: they are
// answered and listened to, but only those that we drew are told our news, so nobody fills our neighbourhood by calling.
//
// Some thousand relays have an item 99 % within seconds of push; comparing finishes the rest in minutes, against censors too, since whom a
// relay compares with is its own draw.
//
// A newcomer (publish() its own descriptor, add() what it knows: seeds) tells no news until one comparison taught it next to nothing: else it
// would announce a whole directory.
//
// While the set is small (kSmallSet) all that costs little, and few relays may start together: whoever hears of a relay calls it at once,
// every new neighbour is compared with, and who is no newcomer any more tells all that it knows, once.
#pragma once
#include "core/discovery/exchange.h"

namespace macrovpn::discovery {

inline constexpr size_t kNeighbours = 6, kPushTo = 6;
inline constexpr Duration kFirstPush = 100ms, kLastPush = 200ms, kBetweenPushes = 6s;
inline constexpr Duration kCompareSoonest = 30s, kCompareLatest = 90s;
inline constexpr uint64_t kRedrawOneIn = 5;
inline constexpr size_t kNextToNothing = 16, kSmallSet = 48;
inline constexpr size_t kMaxNews = 4096;  // waiting to be told; what is beyond is left to comparing

class Gossip {
 public:
  Gossip(RelaySet, Rng&, const PeerId& self);
  void start(const Now&, SyncOut&);
  // A descriptor of our own.  Tells it also as a newcomer.
  Inserted publish(const Now&, const EntryPtr&);
  // From a store or a seed list; verified already.
  Inserted add(const EntryPtr& e) { return exchange_.publish(e); }

  // The answers to SyncOut::calls, and sessions that others opened.
  void on_session(const Now&, SyncSession, const PeerId&, SyncRole, Opened, SyncOut&);
  void on_call_failed(const Now&, const PeerId&, SyncOut&);
  // Somebody who is not in the set yet will be called: a seed.  False: not wanted, there are neighbours enough.
  bool expect(const PeerId&);
  void on_closed(const Now&, SyncSession, SyncOut&);
  void on_message(const Now&, SyncSession, SyncKind, Bytes, SyncOut&);
  void on_checked(const Now&, uint64_t check, const Result<EntryPtr, CheckFailure>&, SyncOut&);
  void on_deadline(const Now&, SyncOut&);
  Mono next_deadline() const;

  Exchange& exchange() { return exchange_; }
  const RelaySet& set() const { return exchange_.set(); }
  bool is_newcomer() const { return newcomer_; }
  size_t neighbours() const { return neighbours_.size(); }
  void check_invariants() const;

 private:
  struct Neighbour {
    PeerId id;
    std::optional<SyncSession> session;  // nothing: being called
    bool replaces = false;               // one that was lost: compared with at once, since news may have been lost with it
  };
  void look(const Now&, SyncOut&);  // at what the exchange brought
  void end_round(const Now&, const RoundEnd&, SyncOut&);
  void push(Mono now, SyncOut&);
  void compare(const Now&, SyncOut&);
  void redraw(SyncOut&);
  void fill_up(SyncOut&, bool replaces = false);
  bool suits(const RelayEntry&, bool other_prefixes) const;
  bool is_small() const { return set().size() <= kSmallSet; }
  void replace(const PeerId&, SyncOut&);
  void tell(const Now&, const Item&);

  Exchange exchange_;
  Rng& rng_;
  PeerId self_;
  std::vector<Neighbour> neighbours_;
  std::deque<PeerId> failed_;  // the last kNeighbours that could not be called
  std::vector<Item> fresh_;
  bool newcomer_ = true;
  Mono push_at_ = kNever, pushed_at_ = kLongAgo, compare_at_ = kNever;
};

}  // namespace macrovpn::discovery
