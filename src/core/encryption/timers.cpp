#include "core/encryption/timers.h"

#include <algorithm>
#include <utility>

namespace macrovpn::encryption {
namespace {

// True once the time has come, and then disarms.
bool take(Mono& at, Mono now) {
  if (at > now) return false;
  at = kNever;
  return true;
}

Mono retry_time(Mono now, Rng& rng) {
  return now + kRekeyTimeout + rng.between(Duration::zero(), kRekeyJitter);
}

}  // namespace

void StockTimers::on_initiation_sent(Mono now, Rng& rng) {
  last_initiation_ = now;
  retry_at_ = retry_time(now, rng);
  on_sent(now, Payload::keepalive, rng);
}

void StockTimers::on_session(Mono now) {
  zero_at_ = now + kZeroKeysAfter;
}

void StockTimers::on_handshake_complete() {
  retry_at_ = kNever;
  last_minute_done_ = false;
}

void StockTimers::on_sent(Mono now, Payload payload, Rng& rng) {
  keepalive_at_ = std::exchange(rearm_keepalive_, false) ? now + kKeepaliveTimeout : kNever;
  another_keepalive_ = false;
  if (payload == Payload::data && new_handshake_at_ == kNever) {
    new_handshake_at_ = now + kKeepaliveTimeout + kRekeyTimeout + rng.between(Duration::zero(), kRekeyJitter);
  }
  on_traversal(now);
}

void StockTimers::on_received(Mono now, Payload payload) {
  new_handshake_at_ = kNever;
  if (payload == Payload::data) {
    if (keepalive_at_ == kNever) {
      keepalive_at_ = now + kKeepaliveTimeout;
    } else {
      another_keepalive_ = true;
    }
  }
  on_traversal(now);
}

void StockTimers::on_traversal(Mono now) {
  if (persistent_ > Duration::zero()) persistent_at_ = now + persistent_;
}

void StockTimers::start_persistent(Mono now) {
  if (persistent_ > Duration::zero()) persistent_at_ = now;
}

void StockTimers::set_persistent(Mono now, Duration interval) {
  const Duration before = std::exchange(persistent_, interval);
  if (interval == Duration::zero()) {
    persistent_at_ = kNever;
  } else if (before == Duration::zero()) {
    persistent_at_ = now;
  } else if (persistent_at_ != kNever) {
    persistent_at_ = now + interval;
  }
}

void StockTimers::forget_handshake() {
  retry_at_ = keepalive_at_ = new_handshake_at_ = zero_at_ = kNever;
  another_keepalive_ = rearm_keepalive_ = last_minute_done_ = false;
  last_initiation_ = first_attempt_ = kLongAgo;
}

bool StockTimers::take_last_minute() {
  return !std::exchange(last_minute_done_, true);
}

TimerAction StockTimers::due(Mono now) {
  if (take(zero_at_, now)) return TimerAction::zero_keys;
  if (take(retry_at_, now)) {
    if (now - first_attempt_ < kRekeyAttemptTime) return TimerAction::retry_handshake;
    keepalive_at_ = kNever;
    if (zero_at_ == kNever) zero_at_ = now + kZeroKeysAfter;
    return TimerAction::give_up;
  }
  if (take(new_handshake_at_, now)) return TimerAction::new_handshake;
  if (take(keepalive_at_, now)) {
    rearm_keepalive_ = std::exchange(another_keepalive_, false);
    return TimerAction::keepalive;
  }
  if (take(persistent_at_, now)) {
    on_traversal(now);  // it goes on where nothing can be sent yet, for want of a key or an address
    return TimerAction::keepalive;
  }
  return TimerAction::none;
}

Mono StockTimers::next() const {
  return std::min({retry_at_, keepalive_at_, new_handshake_at_, zero_at_, persistent_at_});
}

void HopTimers::on_initiation_sent(Mono now, Attempt attempt, Rng& rng) {
  last_initiation_ = now;
  retry_at_ = attempt == Attempt::rekey ? retry_time(now, rng) : kNever;
  give_up_at_ = first_attempt_ + kRekeyAttemptTime;
}

void HopTimers::on_session(Mono now, Rng& rng) {
  retry_at_ = give_up_at_ = kNever;
  rekey_at_ = now + rng.between(kHopRekeyEarliest, kHopRekeyLatest);
  zero_at_ = now + kRejectAfterTime;
  data_sent_ = lapsed_ = false;
}

bool HopTimers::on_data_sent(Mono now) {
  data_sent_ = true;
  return lapsed_ && may_initiate(now) && give_up_at_ == kNever;
}

TimerAction HopTimers::due(Mono now) {
  if (take(zero_at_, now)) return TimerAction::zero_keys;
  if (take(give_up_at_, now)) {
    retry_at_ = kNever;
    return TimerAction::give_up;
  }
  if (take(retry_at_, now)) return TimerAction::retry_handshake;
  if (take(rekey_at_, now)) {
    lapsed_ = true;
    if (data_sent_) return TimerAction::new_handshake;
  }
  return TimerAction::none;
}

Mono HopTimers::next() const {
  return std::min({retry_at_, give_up_at_, rekey_at_, zero_at_});
}

}  // namespace macrovpn::encryption
