// Registrations: which relays behind a NAT hold a session with us, and at which endpoint they proved to be reached.  What an introducer knows.
//
// A registration counts only while the session's packets come from the endpoint at which its cookie was received: a session roams to
// wherever an authenticated packet says it comes from, and that alone must not make us send to an address of somebody else's.
//
// Bounds: kMaxRegistrations, kMaxRegistrationsPerSource of one address (IPv6: /64); what is not said again within kRegistrationLife goes.
#pragma once
#include <map>
#include <optional>

#include "base/rng.h"
#include "base/time.h"
#include "model/caller_key.h"
#include "model/guess_side.h"
#include "model/ids.h"

namespace macrovpn::node {

inline constexpr size_t kMaxRegistrations = 4'096, kMaxRegistrationsPerSource = 8;
inline constexpr Duration kRegistrationLife = 70s;  // two keepalives of at most 26 s may be lost

struct Registration {
  PeerRef session;
  Endpoint at;        // where the session's packets come from, and what is sent there arrives
  SocketId socket = kListenSocket;  // of ours, to which they come
  uint64_t cookie = 0;
  bool proved = false;
  CallerKey source;
  Mono expires = kLongAgo;
  GuessSide guess = GuessSide::none;  // what it could be in a guess, it says
};

class Registrations {
 public:
  // `who` said it, its MAC was right.  The cookie to answer with; nullopt: no room.
  std::optional<uint64_t> on_register(Mono now, const PeerId& who, PeerRef session, const Endpoint& from, SocketId socket, uint64_t cookie, Rng& rng);
  void note_guess(const PeerId& who, GuessSide side);
  // Proved and not expired.
  const Registration* find(Mono now, const PeerId& who) const;
  void session_gone(PeerRef session);
  Mono next_deadline() const;
  void expire(Mono now);
  size_t size() const { return of_.size(); }
  void check_invariants() const;

 private:
  using Of = std::map<PeerId, Registration>;
  Of::iterator erase(Of::iterator);
  Of of_;
  std::map<PeerRef, PeerId> by_session_;
  Shares shares_{kMaxRegistrations};
};

}  // namespace macrovpn::node
