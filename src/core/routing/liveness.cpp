#include "core/routing/liveness.h"

#include <algorithm>

namespace macrovpn::routing {

void Liveness::started(Mono now, Rng& rng) {
  last_packet_ = now;
  next_keepalive_ = now + rng.between(20s, 26s);
}

void Liveness::asked(Mono now) {
  if (first_unanswered_ == kNever) first_unanswered_ = now;
}

void Liveness::answered(Mono now) {
  last_heard_ = now;
  first_unanswered_ = kNever;
  probes_ = 0;
}

void Liveness::sent(Mono now) {
  last_packet_ = now;
  asked(now);
}

void Liveness::received(Mono now) {
  last_packet_ = now;
  answered(now);
}

void Liveness::pinged(Mono now) {
  asked(now);
}

void Liveness::pong(Mono now, Duration measured) {
  round_trip_ = round_trip_ == Duration::zero() ? measured : (round_trip_ * 7 + measured) / 8;
  answered(now);
}

Duration Liveness::patience() const {
  return std::max(kQuiet, round_trip_ * 2);
}

bool Liveness::is_used(Mono now, Connections connections) const {
  return idle_for(now) < (connections == Connections::open ? kConnectionOpen : kFlowOpen);
}

Liveness::Verdict Liveness::check(Mono now, Rng& rng, Connections connections) {
  if (first_unanswered_ != kNever) {
    const Mono asked = probes_ == 0 ? first_unanswered_ : last_probe_;
    if (now >= asked + patience()) {
      if (probes_ >= kProbes) return Verdict::dead;
      if (probes_++ == 0) first_probe_ = now;
      last_probe_ = now;
      return Verdict::ping;
    }
  }
  if (now >= next_keepalive_) {
    next_keepalive_ = now + rng.between(20s, 26s);
    if (is_used(now, connections)) return Verdict::ping;
  }
  return Verdict::nothing;
}

Mono Liveness::next_check() const {
  if (first_unanswered_ == kNever) return next_keepalive_;
  const Mono asked = probes_ == 0 ? first_unanswered_ : last_probe_;
  return std::min(asked + patience(), next_keepalive_);
}

}  // namespace macrovpn::routing
