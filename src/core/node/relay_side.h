// RelaySide: carrying other people's circuits.  What it learns: the address of the session before and the
// relay after; never both ends (docs/threat-model.md).
#pragma once
#include <algorithm>
#include <map>

#include "core/node/introduction_side.h"
#include "core/node/shared.h"
#include "core/routing/leg_table.h"
#include "model/caller_key.h"

namespace macrovpn::node {

// At most `burst` at once and one each `interval` on average (GCRA, ITU-T I.371).
struct Allowance {
  Duration interval;
  int burst;
  Mono used_until = kLongAgo;
  bool take(Mono now) {
    const Mono base = std::max(used_until, now);
    if (base - now > interval * (burst - 1)) return false;
    used_until = base + interval;
    return true;
  }
};

// How a session came to us.
struct Upstream {
  unsigned relays_before = 0;
  std::optional<PeerId> relay;  // the one before us, if its trailer verified
  CallerKey caller;             // whose share of our tables it takes: that relay's, or its address's
  // What one caller may make us do: initiations sent on in our name, signatures.
  Allowance handshakes{100ms, 40};
  Allowance signatures{1s, 8};
  // LEASE and RELEASE: an honest client says them at a build, a hop and a change of size, and again if it hears nothing.
  Allowance leases{250ms, 24};
};
inline constexpr unsigned kMostRelaysBefore = 4;

// Whether a relay sends to an address because another says so: global unicast, none of its own, not on its own networks.
bool may_send_to(const NodeConfig&, const IpAddress&);

// Goodbyes of a relay that drains: so many at once, then the next; all again until everybody has left.
inline constexpr size_t kGoodbyesAtOnce = 256;
inline constexpr Duration kGoodbyePause = 10ms, kGoodbyeAgain = 2s;

struct RelayCounters {
  uint64_t extended = 0, refused = 0;
  uint64_t spliced = 0;       // legs that began inside a session with an introducer
  uint64_t straightened = 0;  // of those: now direct
  uint64_t forwarded_down = 0, forwarded_up = 0, forwarded_bytes = 0, dropped = 0;
};

class RelaySide {
 public:
  RelaySide(Shared s, RelayLinks& links, IntroductionSide& introductions)
      : s_(s), links_(links), introductions_(introductions), legs_(s.config.legs, s.config.commons.legs) {}

  void session_accepted(PeerRef peer, const Upstream& from);
  void session_gone(PeerRef peer);
  // Whether a packet of a session came the way its handshake did: under a mask of two relays, or from a
  // client.  Else a caller could lead packets over a relay into a session that it opened directly, where no
  // relays were counted, and so make circuits without end.
  bool comes_its_way(PeerRef upstream, bool from_relay) const;

  // An EXTEND, from early data or from a session.  Answers ERROR itself.
  void on_extend(Now now, PeerRef upstream, Bytes body);
  // The same by another relay, for a guest of ours (introduction_side.h).
  void on_splice(Now now, PeerRef upstream, Bytes body);
  // Whether the caller may have another signature now.
  bool may_sign(Now now, PeerRef upstream);
  // Whether the caller may say LEASE or RELEASE now.
  bool may_lease(Now now, PeerRef upstream);
  CallerKey caller_of(PeerRef upstream) const;  // whose share a session takes
  void on_close(PeerRef upstream, LegNumber leg);
  // A relayed message coming down from `upstream`, with the leg in its reserved bytes.
  void on_relayed_down(Now now, PeerRef upstream, Packet&& packet);
  // A message that is for none of our sessions: an answer from a next hop?
  void on_answer(Now now, const Endpoint& from, Packet&& packet);
  // Whether it would be: legs to guests leave from the listening socket, where other shards' strays come too.
  bool expects(Now now, const Endpoint& from, SessionIndex receiver) { return legs_.find_up(now.mono, from, receiver) != nullptr; }
  // What an introducer says about legs inside our session with it.
  void on_spliced(Now now, PeerRef link, Packet&& packet);
  void on_splice_error(PeerRef link, const routing::ErrorFrame& e);
  void drop_lost_splices();

  void error(PeerRef upstream, routing::ErrorCode code, LegNumber leg);
  // Draining: tells all callers; closed: drops all legs.
  void service_changed(Now now);
  Mono next_deadline() const { return std::min(legs_.next_deadline(), goodbye_at_); }
  void on_deadline(Now now);
  size_t legs() const { return legs_.size(); }
  const RelayCounters& counters() const { return counters_; }
  void check_invariants() const;

 private:
  struct NextWay {
    routing::NextHop hop;
    routing::Splice splice{};
  };
  enum class Asked : uint8_t { by_extend, by_splice };
  struct Wanted {
    PeerId relay;
    uint8_t endpoint = 0;
    unsigned relays_before = 0;  // us
    Asked asked = Asked::by_extend;
  };
  Result<NextWay, routing::ErrorCode> next_hop(Now now, const Upstream& from, const Wanted& w);
  Result<NextWay, routing::ErrorCode> way_to_guest(Now now, const Upstream& from, const Wanted& w, const RelayInfo& guest);
  Result<routing::Splice, routing::ErrorCode> splice_to(Now now, const Upstream& from, const Wanted& w, const RelayInfo& guest);
  Result<routing::NextHop, routing::ErrorCode> hop_to(const RelayInfo& relay, const Endpoint& at, SocketId socket);
  Result<void, routing::ErrorCode> extend(Now now, PeerRef upstream, const Wanted& w, const routing::Element&);
  void extend_or_refuse(Now now, PeerRef upstream, const Wanted& w, Bytes element);
  void straighten(Now now, routing::LegTable::Leg& leg);
  void pass_up(Now now, routing::LegTable::Leg& leg, Packet&& packet);
  void say_goodbye(Now now);
  void call(Now now, const routing::NextHop& next, Bytes message, Bytes early, unsigned relays_before);

  Shared s_;
  RelayLinks& links_;
  IntroductionSide& introductions_;
  routing::LegTable legs_;
  std::map<PeerRef, Upstream> upstreams_;
  RelayCounters counters_;
  Mono goodbye_at_ = kNever;
  PeerRef last_told_;
};

}  // namespace macrovpn::node
