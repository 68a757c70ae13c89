// WaySockets: UDP sockets beside the two that every shard has, each for one other relay alone: those of a guess (core/discovery/port_guess.h), and of
// them the ones that became the way.  The core numbers them, the driver opens and closes them (Effects::sockets); one that it could not open is
// silent, as a network is.
//
// Bounds: numbers 16 .. 239, of which kKeptForWinners are never given to a guess.  A socket that heard nothing from its relay for kWaySocketLife goes.
// What comes from elsewhere than its relay is dropped before anything looks at it.
#pragma once
#include <map>
#include <vector>

#include "base/time.h"
#include "core/node/effects.h"
#include "model/ids.h"
#include "model/ip.h"
#include "model/keys.h"

namespace macrovpn::node {

inline constexpr uint8_t kFirstWaySocket = 16, kLastWaySocket = 239;
inline constexpr size_t kKeptForWinners = 32;
inline constexpr size_t kMaxWaySockets = kLastWaySocket - kFirstWaySocket + 1;
inline constexpr Duration kWaySocketLife = 3min;

constexpr bool is_way_socket(SocketId s) { return s.value >= kFirstWaySocket && s.value <= kLastWaySocket; }

class WaySockets {
 public:
  // Fewer than `most` where there is no room for more.
  std::vector<SocketId> open(Mono now, const PeerId& relay, const Endpoint& its, size_t most);
  size_t room() const;
  void close(SocketId);
  // Whether what came there from there may go on; then it keeps the socket.
  bool lets_in(Mono now, SocketId, const Endpoint& from);
  bool is_of(SocketId, const PeerId& relay) const;
  size_t size() const { return sockets_.size(); }
  Mono next_deadline() const;
  void on_deadline(Mono now);
  std::vector<SocketChange> take_changes() { return std::exchange(changes_, {}); }
  void check_invariants() const;

 private:
  struct One {
    PeerId relay;
    Endpoint its;
    Mono heard;
  };
  std::map<SocketId, One> sockets_;
  std::vector<SocketChange> changes_;
  uint8_t next_ = kFirstWaySocket;  // numbers go round: one that was just closed does not come again at once
};

}  // namespace macrovpn::node
