// Is a circuit still alive?  Says when to ping and when to give it up, from what was sent and received.
//
// A packet that left and was followed by silence is a question: after kQuiet (or twice the round trip) a ping
// goes out, a second one after the same time again, and a circuit that answered neither is dead.  A broken
// relay is so noticed in well under 3 s while anything is going on; a circuit where nothing was asked costs
// nothing.  Beside that, a circuit with open flows is pinged every 20-26 s, inside the 30 s for which NATs
// keep an unreplied mapping.
#pragma once
#include "base/rng.h"
#include "base/time.h"

namespace macrovpn::routing {

class Liveness {
 public:
  static constexpr Duration kQuiet = 450ms;
  // A circuit without packets for that long is idle.  An open TCP connection may be silent for much longer (RFC 5382
  // demands that a NAT keep it for 2 h 4 min, and exits do).
  static constexpr Duration kFlowOpen = 5min, kConnectionOpen = 124min;
  static constexpr int kProbes = 2;

  enum class Verdict : uint8_t { nothing, ping, dead };
  enum class Connections : uint8_t { none, open };  // TCP, in the circuit (open_flows.h)

  void started(Mono now, Rng& rng);
  void sent(Mono now);      // a packet of the user's
  void received(Mono now);  // ditto
  void pinged(Mono now);
  void pong(Mono now, Duration round_trip);
  // At next_check() or later; `ping`: send one now.
  Verdict check(Mono now, Rng& rng, Connections connections = Connections::none);
  Mono next_check() const;
  Duration idle_for(Mono now) const { return now - last_packet_; }  // pings are no use
  bool is_used(Mono now, Connections connections) const;  // else it may lapse
  bool is_silent() const { return probes_ > 0; }  // something was sent, and not even a ping was answered yet
  Mono probing_since() const { return first_probe_; }  // while is_silent(): when the first ping of this silence left
  Mono last_heard() const { return last_heard_; }
  Duration round_trip() const { return round_trip_; }  // smoothed (RFC 6298); zero: not measured yet

 private:
  Duration patience() const;
  void asked(Mono now);
  void answered(Mono now);
  Mono first_unanswered_ = kNever;  // when the first packet since the last one received was sent
  Mono last_packet_ = kLongAgo, last_heard_ = kLongAgo;
  Mono first_probe_ = kLongAgo, last_probe_ = kLongAgo;
  Mono next_keepalive_ = kNever;
  int probes_ = 0;
  Duration round_trip_{};
};

}  // namespace macrovpn::routing
