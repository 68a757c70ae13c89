// IntroductionSide: relays behind a NAT (docs/protocol.md "Introductions").  Three roles; a relay may have all of them at once:
//
//   guest       behind a NAT.  Keeps a session with each of its introducers and says REGISTER in it every 20-26 s: the NAT stays open, and the
//               introducer knows where.  Told by an introducer who wants it, it punches (core/discovery/punch.h) and registers there too
//   introducer  knows its guests (registrations.h), sends legs to them, and tells two relays of each other
//   asker       a relay whose caller wants a leg to a guest: goes through an introducer at once (SPLICE), and asks that one to bring both
//               together (CONNECT).  New legs and rekeyed ones then go straight
//
// A way that is open is always the same thing: the guest holds a session of its own, registered, with the one who sends to it, and legs leave
// from the socket to which it came.  Punching only makes that session possible.  Where it fails between a hard NAT and a cone, and both have said that
// they are free for it, they guess (core/discovery/port_guess.h, guess_side.cpp): one guess at a time, one a minute, one an hour with the same relay.
//
// Reflection: who is told to send to an address does so only if the directory says that it is the other relay's, with at most Punch's probes and PortGuess's; an introducer
// sends only where a cookie came back from.
// What is learnt: an introducer, which relay wants which guest, and the times and sizes of what it splices; a relay, the address of the other one, which
// the directory says anyway.  No client's address is in any of it.
#pragma once
#include <map>

#include "core/discovery/port_guess.h"
#include "core/discovery/punch.h"
#include "core/encryption/rate_limit.h"
#include "core/node/registrations.h"
#include "core/node/relay_links.h"
#include "core/node/way_sockets.h"
#include "core/routing/introduction_frames.h"

namespace macrovpn::node {

inline constexpr Duration kRegisterLeast = 20s, kRegisterSpread = 6s;
inline constexpr Duration kRegisterAgain = 3s;    // until it was answered
inline constexpr Duration kIntroducerAgain = 5s;   // after its link failed
inline constexpr Duration kWayLife = 5min;         // of an asker's link that nothing uses
inline constexpr Duration kAskAgain = 60s;         // for the same guest
inline constexpr Duration kDirectLife = 10min;     // of a registration that an asker wanted
inline constexpr Duration kGuessedLife = 1h;       // the same, where a guess was needed
inline constexpr Duration kGuessPause = 1min, kGuessAgain = 1h;  // of all guesses; of those with one relay
inline constexpr size_t kMaxGuessedPairs = 256;
inline constexpr size_t kMaxWays = 24, kMaxAsks = 256, kMaxPunches = 32, kMaxDirect = 24;

struct IntroductionCounters {
  uint64_t introduced = 0, refused = 0;   // as an introducer
  uint64_t asked = 0, punched = 0, punch_failed = 0, met = 0;  // met: a guest that we asked for has registered here
  uint64_t guesses = 0, guess_failed = 0, guessed = 0;         // begun; without a hit; of those that have met: after one
  Duration last_meeting{};                // from CONNECT until then
};

// What a relay behind a NAT could be in a guess, and how many sockets it can have for that.
struct GuessPart {
  GuessSide side = GuessSide::none;
  size_t sockets = discovery::kGuessSockets;
};

class IntroductionSide {
 public:
  static constexpr encryption::Rate kIntroductions{2, 16};  // of one relay
  IntroductionSide(Shared s, RelayLinks& links) : s_(s), links_(links) {}

  // Guest: through whom we are reached; none: we stand in the open.
  void set_introducers(Now now, const std::vector<PeerId>& introducers, const GuessPart& part);
  // How many of them know where we are, and where one of them sees us.
  size_t registered_at() const;
  std::optional<Endpoint> seen_at() const;

  // ---- for the relay side
  const Registration* registered(Now now, const PeerId& guest) const { return registrations_.find(now.mono, guest); }
  // A link to that introducer, up or about to be; nullopt: it cannot be called.
  std::optional<PeerRef> way_to(Now now, const RelayInfo& introducer);
  void way_used(Now now, PeerRef link);
  // Asks for a direct way to `guest`, unless that was done a moment ago.
  void come_together(Now now, const PeerId& guest, PeerRef link);
  // Links whose legs are lost.
  std::vector<PeerRef> take_lost() { return std::exchange(lost_, {}); }

  // ---- from the node
  void on_link_event(Now now, const LinkEvent& e);
  void on_link_frame(Now now, PeerRef link, const routing::Frame& f);
  // REGISTER, CONNECT; of a caller that came straight to us.
  void on_request(Now now, PeerRef session, const routing::Frame& f);
  void session_gone(PeerRef session) { registrations_.session_gone(session); }
  // Nothing that WireGuard knows.  True: it was for a punch.
  bool on_datagram(Now now, const Datagram& d);
  // At a socket of ours that is one relay's (way_sockets.h): whether it comes from there.
  bool lets_in(Now now, const Datagram& d) { return sockets_.lets_in(now.mono, d.socket, d.remote); }
  void take_socket_changes(std::vector<SocketChange>& out) {
    for (const SocketChange& c : sockets_.take_changes()) out.push_back(c);
  }
  Mono next_deadline() const;
  void on_deadline(Now now);

  size_t registrations() const { return registrations_.size(); }
  const WaySockets& sockets() const { return sockets_; }
  const IntroductionCounters& counters() const { return counters_; }
  void check_invariants() const;

 private:
  struct Home {  // where we are a guest
    PeerId relay;
    std::optional<Endpoint> at;  // punched; else its published endpoint
    std::optional<SocketId> socket{};  // guessed, by a hard side
    PeerRef link;
    Mono again_at = kLongAgo;  // to call, or to say REGISTER
    Mono until = kNever;
    uint64_t cookie = 0;
    bool registered = false;
    Endpoint seen;
  };
  struct Way {
    PeerRef link;
    bool up = false;
    Mono used = kLongAgo;
  };
  struct Ask {
    PeerRef link;
    discovery::PunchNonce nonce{};
    Mono at = kLongAgo;
    bool sent = false;
  };
  struct Active {
    discovery::Punch punch;
    PeerId other;
    enum class Then : uint8_t { nothing, call } then;  // call: we are the guest
    Endpoint told;
    GuessSide plan = GuessSide::none;  // what we shall be in a guess, should the punch fail
    std::optional<discovery::PortGuess> guess{};
    std::vector<SocketId> sockets{};   // of it
    bool over(Mono now) const { return guess ? guess->over(now) : punch.over(now); }
  };
  struct Opened {
    Endpoint at;
    std::optional<SocketId> by;
    Duration life;
  };
  Home* home_of(PeerRef link);
  void call_home(Now now, Home& home);
  void say_register(Now now, Home& home);
  void on_registered(Now now, Home& home, Bytes body);
  void on_introduce(Now now, PeerRef link, Bytes body);
  void on_register(Now now, PeerRef session, Bytes body);
  void on_connect(Now now, PeerRef session, Bytes body);
  void send_ask(Now now, const PeerId& guest, Ask& ask);
  void start_punch(Now now, const routing::IntroduceFrame& f, Active::Then then);
  void on_punch(Now now, const discovery::PunchNonce& nonce, Active& a, const Datagram& d, discovery::PunchMessage::Kind kind);
  void advance(Now now, const discovery::PunchNonce& nonce, Active& a);
  void opened(Now now, const Active& a, const Opened& way);
  struct Shot {
    SocketId by;
    Endpoint to;
    discovery::PunchMessage::Kind kind;
    size_t most;  // bytes
  };
  void send_punch(Now now, const Active& a, const discovery::PunchNonce& nonce, const Shot& shot);
  // guess_side.cpp
  bool is_guessing() const;
  GuessSide free_part(Now now) const;
  GuessSide part_with(Now now, const PeerId& other) const;
  void start_guess(Now now, const discovery::PunchNonce& nonce, Active& a);
  void advance_guess(Now now, const discovery::PunchNonce& nonce, Active& a);
  void on_guess(Now now, const discovery::PunchNonce& nonce, Active& a, const Datagram& d, discovery::PunchMessage::Kind kind);
  void close_but(Active& a, std::optional<SocketId> winner);
  void say_part_anew(Now now);
  // With MACs of the two; nullopt: a relay that we do not know, or cannot share a key with.
  std::optional<crypto::Mac16> mac_for(Now now, const PeerId& relay, Bytes what);
  bool is_from(Now now, const PeerId& relay, Bytes what, const crypto::Mac16& mac);
  // Whether the directory says that this address is the relay's, and it is one that may be sent to.
  bool is_address_of(Now now, const PeerId& relay, const IpAddress& a) const;

  Shared s_;
  RelayLinks& links_;
  std::vector<Home> homes_;
  Registrations registrations_;
  std::map<PeerId, Way> ways_;
  std::map<PeerId, Ask> asks_;  // by guest
  std::map<discovery::PunchNonce, Active> punches_;
  GuessPart part_;
  WaySockets sockets_;
  std::map<PeerId, Mono> guessed_;  // with whom, and when
  Mono next_guess_ = kLongAgo;
  std::vector<PeerRef> lost_;
  encryption::RateLimit callers_{4'096};
  Mono sweep_at_ = kNever;
  IntroductionCounters counters_;
};

}  // namespace macrovpn::node
