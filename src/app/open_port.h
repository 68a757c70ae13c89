// OpenPort: whether the port that a home's router says it has opened is open.  The router's word is no proof, since another NAT may stand above it.
// So other relays are asked to call there (core/node/verify_side.h), and the endpoint counts once more of them came through than tried in vain:
//
//   reached again    every kAgainReached; it ends when two rounds, kSecondLook apart, failed, and at once when the mapping is gone
//   not reached      asked again every kAgainUnreached
//   nobody tried     nothing is concluded
#pragma once
#include <algorithm>
#include <functional>
#include <optional>

#include "base/time.h"
#include "core/node/effects.h"
#include "model/ip.h"

namespace macrovpn::app {

class OpenPort {
 public:
  static constexpr Duration kAgainReached = std::chrono::minutes(20), kAgainUnreached = std::chrono::minutes(5);
  static constexpr Duration kSecondLook = std::chrono::seconds(30), kNobody = std::chrono::seconds(5), kPatience = std::chrono::minutes(1);
  // ask: has others call there, and on_called() hears of it; false: nobody can be asked now.
  explicit OpenPort(std::function<bool(const Endpoint&)> ask) : ask_(std::move(ask)) {}

  // What the router says, with the address that others see; nothing: there is no mapping.
  void set(Mono now, const std::optional<Endpoint>& mapped);
  // The router does not answer any more: others are asked before it is time.
  void doubt(Mono now) { next_ = std::min(next_, now); }
  void on_called(Mono now, const node::OwnReach& found);
  void on_tick(Mono now);
  // Where everybody reaches us.
  std::optional<Endpoint> endpoint() const { return reached_ ? mapped_ : std::nullopt; }

 private:
  std::function<bool(const Endpoint&)> ask_;
  std::optional<Endpoint> mapped_, asked_;  // asked_: whom an answer is about
  Mono asked_until_ = kLongAgo, next_ = kLongAgo;
  bool reached_ = false;
  int in_vain_ = 0;  // rounds, one after the other
};

}  // namespace macrovpn::app
