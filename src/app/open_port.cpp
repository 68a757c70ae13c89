#include "app/open_port.h"

#include <utility>

namespace macrovpn::app {

void OpenPort::set(Mono now, const std::optional<Endpoint>& mapped) {
  if (mapped == mapped_) return;
  mapped_ = mapped;
  reached_ = false;
  in_vain_ = 0;
  next_ = now;
}

void OpenPort::on_called(Mono now, const node::OwnReach& found) {
  const auto about = std::exchange(asked_, std::nullopt);
  if (!about || about != mapped_) return;  // the mapping became another meanwhile
  if (found.yes + found.no == 0) {
    next_ = now + kPatience;
    return;
  }
  const bool came_through = found.yes > found.no;
  in_vain_ = came_through ? 0 : in_vain_ + 1;
  if (came_through || in_vain_ > 1) reached_ = came_through;
  next_ = now + (came_through ? kAgainReached : reached_ ? kSecondLook : kAgainUnreached);
}

void OpenPort::on_tick(Mono now) {
  const bool waits = asked_ && now < asked_until_;
  if (!mapped_ || waits || now < next_) return;
  asked_.reset();
  next_ = now + kNobody;
  if (!ask_(*mapped_)) return;
  asked_ = mapped_;
  asked_until_ = now + kPatience;
}

}  // namespace macrovpn::app
