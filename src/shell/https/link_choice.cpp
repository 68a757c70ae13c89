#include "shell/https/link_choice.h"

#include <algorithm>

namespace macrovpn::shell::https {

void LinkChoice::back_to_udp() {
  path_ = Path::udp;
  https_heard_ = false;
  probe_at_ = kNever;
  if (https_ != Https::none) drop_ = true;
  https_ = Https::none;
}

void LinkChoice::heard_udp(Mono now) {
  const bool first = !std::exchange(udp_heard_, true);
  if (path_ == Path::udp) {
    unanswered_since_ = kNever;
    if (https_ == Https::none) return;
    patience_ = std::min(patience_ * 2, kMostPatience);  // a false alarm
    return back_to_udp();
  }
  if (first && now < switched_ + kRace) return return_to_udp(now);
  udp_heard_ = !first;
}

void LinkChoice::probe_answered(Mono now) {
  if (path_ != Path::https || now < switched_ + hold_) return;
  udp_heard_ = true;
  return_to_udp(now);
}

void LinkChoice::return_to_udp(Mono now) {
  unanswered_since_ = kNever;
  returned_ = now;
  known_ = Known::nothing;
  back_to_udp();
}

void LinkChoice::heard_https(Mono) {
  if (path_ != Path::https) return;
  unanswered_since_ = kNever;
  https_heard_ = true;
  retry_ = kRetry;
}

void LinkChoice::connected(Mono now) {
  if (https_ != Https::connecting) return;  // dropped meanwhile
  https_ = Https::ready;
  path_ = Path::https;
  hold_ = now - returned_ < kSoon ? std::min(hold_ * 2, kMostHold) : kHold;
  switched_ = now;
  probe_at_ = now + kProbe;
  unanswered_since_ = now;
}

void LinkChoice::disconnected(Mono now) {
  if (https_ == Https::none) return;
  retry_at_ = now + retry_;
  retry_ = std::min(retry_ * 2, kMostRetry);
  if (path_ == Path::https) unanswered_since_ = kNever;
  if (path_ == Path::https) udp_heard_ = false;
  https_ = Https::none;
  back_to_udp();
}

void LinkChoice::network_changed(Known known) {
  known_ = known;
  udp_heard_ = false;
  patience_ = kPatience;
  retry_at_ = kLongAgo;
  retry_ = kRetry;
}

Mono LinkChoice::begins_at() const {
  if (unanswered_since_ == kNever) return kNever;
  const Duration patience = known_ == Known::https_needed ? Duration::zero() : udp_heard_ ? patience_ : kFirstPatience;
  return std::max(unanswered_since_ + patience, retry_at_);
}

LinkChoice::Do LinkChoice::next(Mono now) {
  if (std::exchange(drop_, false)) return Do::disconnect;
  if (path_ == Path::udp) {
    if (https_ != Https::none || now < begins_at()) return Do::nothing;
    https_ = Https::connecting;
    return Do::connect;
  }
  const bool deaf = unanswered_since_ != kNever && now >= unanswered_since_ + kDeaf;
  const bool idle = now >= last_sent_ + kIdle;
  if (deaf || idle) {
    if (deaf && https_heard_) {
      retry_at_ = now;  // it worked: perhaps only this connection is gone
    } else if (deaf) {
      retry_at_ = now + retry_;
      retry_ = std::min(retry_ * 2, kMostRetry);
    }
    unanswered_since_ = kNever;
    udp_heard_ = false;
    back_to_udp();
    drop_ = false;
    return Do::disconnect;
  }
  if (now < probe_at_) return Do::nothing;
  probe_at_ = now + kProbe;
  return Do::probe;
}

Mono LinkChoice::next_deadline() const {
  if (drop_) return kLongAgo;
  if (path_ == Path::udp) return https_ == Https::none ? begins_at() : kNever;
  const Mono deaf = unanswered_since_ == kNever ? kNever : unanswered_since_ + kDeaf;
  return std::min({deaf, last_sent_ + kIdle, probe_at_});
}

}  // namespace macrovpn::shell::https
