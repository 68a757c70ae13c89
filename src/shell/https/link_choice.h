// LinkChoice: over what a client speaks to one entry relay, UDP or HTTPS.  Pure: what happened goes in, what to do comes out.
//
//   UDP first, always.  Something was sent and nothing came for kFirstPatience (a relay that was heard before: kPatience, doubled after
//   each false alarm): HTTPS is begun beside it.  Where this network is known to need it: at once.
//   HTTPS ready, UDP still silent: everything goes by HTTPS.
//   UDP heard while HTTPS is being begun: HTTPS is dropped.
//   On HTTPS, UDP is probed every kProbe; an answer to that leads back, but not before kHold (doubled, up to kMostHold, when UDP failed
//   again soon).  Nothing else that comes by UDP then does, as it may be old or forged; but for the first moments of a relay that was
//   never heard, when both are tried at once and either may be first.
//   HTTPS silent for kDeaf though something was sent, or over: UDP again, and all from the start.
#pragma once
#include <utility>

#include "base/time.h"

namespace macrovpn::shell::https {

class LinkChoice {
 public:
  static constexpr Duration kFirstPatience = 400ms, kPatience = 800ms, kMostPatience = 3200ms;
  static constexpr Duration kProbe = 20s, kDeaf = 4s, kIdle = 150s;
  static constexpr Duration kHold = 5s, kMostHold = 10min, kSoon = 60s, kRace = 2s;
  static constexpr Duration kRetry = 1s, kMostRetry = 60s;

  enum class Path : uint8_t { udp, https };
  enum class Known : uint8_t { nothing, https_needed };  // of this network
  enum class Do : uint8_t { nothing, connect, disconnect, probe };

  explicit LinkChoice(Known known = Known::nothing) : known_(known) {}
  Path path() const { return path_; }

  void sent(Mono now) {
    last_sent_ = now;
    if (unanswered_since_ == kNever) unanswered_since_ = now;
  }
  void heard_udp(Mono now);
  void probe_answered(Mono now);
  void heard_https(Mono now);
  void connected(Mono now);     // everything goes by HTTPS now
  void disconnected(Mono now);  // it could not be begun, or is over
  void network_changed(Known known);

  // After each of these, and at next_deadline(); until it says nothing.
  Do next(Mono now);
  Mono next_deadline() const;

  // UDP was silent and HTTPS was not, here: worth remembering.  And the other way.
  bool https_was_needed() const { return path_ == Path::https && https_heard_; }
  bool udp_works() const { return path_ == Path::udp && udp_heard_; }

 private:
  enum class Https : uint8_t { none, connecting, ready };
  Mono begins_at() const;
  void back_to_udp();
  void return_to_udp(Mono now);

  Known known_;
  Path path_ = Path::udp;
  Https https_ = Https::none;
  bool drop_ = false;        // the connection is to be ended
  bool udp_heard_ = false, https_heard_ = false;
  Duration patience_ = kPatience, hold_ = kHold, retry_ = kRetry;
  Mono unanswered_since_ = kNever, last_sent_ = kLongAgo;
  Mono switched_ = kLongAgo, returned_ = kLongAgo;
  Mono retry_at_ = kLongAgo, probe_at_ = kNever;
};

}  // namespace macrovpn::shell::https
