#include "core/routing/path_mtu.h"

#include <algorithm>

namespace macrovpn::routing {

PathMtu::PathMtu(uint16_t most, uint16_t known) : most_(most), mtu_(std::clamp(known, kLeast, most)) {}

void PathMtu::started(Mono now) {
  started_ = true;
  doubt_ = now;
  if (mtu_ < most_) raise_at_ = now;
}

void PathMtu::silent(Mono now) {
  if (round_ != Round::none) return;
  // Who waits for slow answers, or for none, is silent all the time.
  doubt_ = std::min(doubt_, std::max(now, sent_ + (large_ ? kDoubt : small_wait_)));
}

void PathMtu::suspect(Mono now) {
  if (round_ == Round::none) suspect_ = std::min(suspect_, std::max(now, sent_ + kDoubt));
}

void PathMtu::pong(Mono now, size_t size, Mono sent) {
  if (sent < search_sent_) return;
  const auto answered = static_cast<uint16_t>(std::min<size_t>(size, most_));
  if (round_ == Round::none) {
    if (answered <= mtu_) return;
    round_ = Round::raising;  // it was late, not lost
    asked_ = answered;
  }
  best_ = std::max(best_, answered);
  if (sent >= sent_ && answered < asked_) companion_ = std::min(companion_, now);
}

Mono PathMtu::round_ends() const {
  if (best_ >= asked_) return sent_;
  if (companion_ == kNever) return sent_ + kOutage;
  return companion_ + std::max(kMargin, (companion_ - sent_) / 2);
}

Mono PathMtu::proof_due() const {
  if (!proven_) return std::min(doubt_, sent_ + kDoubt);
  if (!used_) return doubt_;
  return std::min({doubt_, suspect_, sent_ + (large_ ? confirm_wait_ : std::max(confirm_wait_, small_wait_))});
}

Mono PathMtu::raise_due() const {
  return mtu_ < most_ && (large_ || !proven_) ? raise_at_ : kNever;
}

Mono PathMtu::next_check() const {
  if (!started_) return kNever;
  return round_ != Round::none ? round_ends() : std::min(proof_due(), raise_due());
}

PathMtu::Verdict PathMtu::check(Mono now, Rng& rng, std::vector<uint16_t>& ask) {
  if (now < next_check()) return Verdict::nothing;
  if (round_ != Round::none) return end_round(now, rng, ask);
  search_sent_ = now;
  lost_ = 0;
  best_ = 0;
  // What is known of another circuit is asked for together with all that is larger.
  const bool first = !proven_ && mtu_ < most_ && raise_at_ <= now;
  if (now >= raise_due()) return ask_for(now, rng, Round::raising, first ? mtu_ - 1 : mtu_, ask);
  return ask_for(now, rng, Round::proving, mtu_ - 1, ask);
}

// From the top of the round down to what is above `above`.
PathMtu::Verdict PathMtu::ask_for(Mono now, Rng& rng, Round round, uint16_t above, std::vector<uint16_t>& ask) {
  round_ = round;
  asked_ = round == Round::raising ? most_ : mtu_;
  ask.assign(1, asked_);
  for (const uint16_t size : kLadder) {
    if (size < asked_ && size > above) ask.push_back(size);
  }
  sent_ = now;
  companion_ = doubt_ = suspect_ = kNever;
  small_wait_ = large_ ? kDoubt : std::min(small_wait_ * 2, kMostDoubt);
  used_ = large_ = false;
  confirm_wait_ = rng.between(kConfirmFrom, kConfirmTo);
  return Verdict::probe;
}

PathMtu::Verdict PathMtu::settle(Mono now, uint16_t mtu) {
  const bool changed = mtu != mtu_, smaller = mtu < mtu_;
  round_ = Round::none;
  proven_ = true;
  mtu_ = mtu;
  if (smaller) raise_wait_ = kFirstRaise;
  if (changed) raise_at_ = now + raise_wait_;
  return changed ? Verdict::changed : Verdict::nothing;
}

PathMtu::Verdict PathMtu::end_round(Mono now, Rng& rng, std::vector<uint16_t>& ask) {
  if (best_ < asked_ && companion_ == kNever)  // an outage: again
    return ask_for(now, rng, round_, round_ == Round::raising ? mtu_ : std::max<uint16_t>(best_, lost_ == 0 ? mtu_ - 1 : 0), ask);
  if (round_ == Round::raising) {
    raise_wait_ = std::min(raise_wait_ * 2, kLastRaise);
    raise_at_ = now + raise_wait_;
    if (best_ >= mtu_) return settle(now, best_);
    round_ = Round::none;
    return Verdict::nothing;
  }
  if (best_ >= mtu_) return settle(now, mtu_);
  if (++lost_ < kRounds) return ask_for(now, rng, Round::proving, best_, ask);
  const bool broken = best_ == 0;
  const Verdict v = settle(now, std::max(best_, kLeast));
  return broken ? Verdict::broken : v;
}

}  // namespace macrovpn::routing
