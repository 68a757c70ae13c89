// LegTable: what a relay remembers of the circuits that pass through it.
//
// A leg joins one upstream session (the caller's) to one endpoint of one next relay.  The caller numbers its
// legs. Down: found by (upstream, number).  Up: by (endpoint called, receiver index), where the receiver
// index is the sender index of an initiation that went down this leg before.  A leg keeps the last four such
// indexes, each for 180 s, the life of a WireGuard session; with the last index the leg goes.  One that was never
// answered goes after 20 s: callers may ask for what never answers.
//
// Nobody fills the table alone: a session has a share, and so has whoever the sessions come from.
//
// An index is never registered over a live entry of another leg: two callers could otherwise steal each
// other's answers.  The caller is told and draws another.
#pragma once
#include <array>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "core/routing/frames.h"
#include "model/caller_key.h"
#include "model/ids.h"
#include "model/ip.h"
#include "model/keys.h"

namespace macrovpn::routing {

struct LegLimits {
  size_t total = 65'536;
  size_t per_upstream = 512;   // a client has all its circuits in one session: two for each group, for a moment
  size_t per_source = 1'024;   // per IPv4 address or IPv6 /64
  size_t per_relay = 16'384;  // per relay before us: it carries many clients
};
inline constexpr Duration kIndexLife = 180s;
inline constexpr Duration kUnansweredLife = 20s;
inline constexpr size_t kIndexesPerLeg = 4;

// What the relay needs to send down a leg.
struct NextHop {
  PeerId relay;
  Endpoint endpoint;
  MaskId called_mask;  // handshakes to it
  MaskId pair_mask;    // transport between the two relays
  SocketId socket = kEgressSocket;  // the listening one for a relay that registered there (core/node/registrations.h)
  auto operator<=>(const NextHop&) const = default;
};

// A leg that goes on inside a session of ours with an introducer: as which leg of that session.
struct Splice {
  PeerRef link;  // nobody: none
  LegNumber number;
  auto operator<=>(const Splice&) const = default;
};

class LegTable {
 public:
  struct Leg {
    PeerRef upstream;
    CallerKey caller;
    LegNumber number;
    NextHop next;
    bool answered = false;  // until then only initiations go down
    Splice splice;           // what comes from there is this leg's, also when `direct`
    bool direct = true;      // else down goes through the splice
    unsigned relays_before = 0;  // before us, in the circuits of this leg
    struct Index {
      SessionIndex index;
      Endpoint endpoint;  // from where the answer will come
      Mono registered = kLongAgo;
    };
    std::array<Index, kIndexesPerLeg> indexes{};
    size_t newest = 0;
  };

  // common: the shares of all shards, counted together; it outlives the table.
  explicit LegTable(const LegLimits& limits = {}, Shares* common = nullptr)
      : limits_(limits), own_shares_(limits.total), shares_(common ? *common : own_shares_) {}

  // Opens a leg, or returns the one of that number if it leads to the same place.  full: a limit is reached.
  // no_such_leg: the number is taken by a leg to elsewhere.
  // `splice`: it goes through there, at first.
  Result<Leg*, ErrorCode> open(PeerRef upstream, const CallerKey& caller, LegNumber, const NextHop&, const Splice& splice = {});
  // The relay is reached there from now on; answers to what was sent before may still come the old way.
  void redirect(Leg&, const NextHop&);
  Leg* find_spliced(const Splice&);
  std::vector<std::pair<PeerRef, LegNumber>> spliced_through(PeerRef link) const;
  // An initiation with this sender index goes down `leg` now.  index_in_use: draw another.
  Result<void, ErrorCode> register_index(Mono now, Leg& leg, SessionIndex sender);
  void answered(Leg&);  // its next hop responded
  Leg* find_down(PeerRef upstream, LegNumber);
  Leg* find_up(Mono now, const Endpoint& from, SessionIndex receiver);
  void close(PeerRef upstream, LegNumber);
  void close_all(PeerRef upstream);
  void expire(Mono now);  // call at next_deadline() or later
  Mono next_deadline() const;
  size_t size() const { return legs_.size(); }
  void check_invariants() const;

 private:
  using Key = std::pair<PeerRef, LegNumber>;
  struct UpKey {
    Endpoint endpoint;
    SessionIndex index;
    bool operator==(const UpKey&) const = default;
  };
  struct UpHash {
    size_t operator()(const UpKey& k) const noexcept {
      return std::hash<Endpoint>{}(k.endpoint) ^ k.index.value * 0x9e3779b97f4a7c15;
    }
  };
  void forget_indexes(const Leg&);
  Mono death_of(const Leg&) const;

  LegLimits limits_;
  std::map<Key, Leg> legs_;  // ordered: walked; a node's address is stable
  std::unordered_map<UpKey, Leg*, UpHash> up_;
  std::map<Splice, Leg*> spliced_;
  // Packets come in runs: what was found last.
  Leg* last_down_ = nullptr;
  Leg* last_up_ = nullptr;
  UpKey last_up_key_;
  std::map<PeerRef, size_t> per_upstream_;
  Shares own_shares_;
  Shares& shares_;
  std::map<std::pair<Mono, Key>, int> deaths_;  // when a leg's newest index ends
};

}  // namespace macrovpn::routing
