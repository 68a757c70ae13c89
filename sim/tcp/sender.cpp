#include "sim/tcp/sender.h"

namespace macrovpn::sim {
namespace {

constexpr uint64_t kOvertaken = 3;  // sendings: the duplicate threshold of RFC 5681
constexpr Duration kLeastReordering = 1ms;
constexpr Duration kProbeMargin = 2ms;
constexpr Duration kWorstDelayedAck = 200ms;  // a probe for a single piece waits for it (RFC 8985 §7.2)

}  // namespace

size_t Sender::index_of(uint64_t offset) const {
  const auto found = std::partition_point(pieces_.begin(), pieces_.end(), [&](const Piece& p) { return p.end <= offset; });
  return static_cast<size_t>(found - pieces_.begin());
}

// ---- what was delivered

void Sender::on_ack(Mono now, uint64_t acknowledged, std::span<const ByteRange> sacks) {
  if (acknowledged > sent_) return;
  const uint32_t flight_before = in_flight();
  Delivery d;
  take_cumulative(acknowledged, d);
  take_selective(sacks, d);
  if (d.pieces == 0 && !d.advanced) return;
  probed_ = false;
  if (d.first_sent) round_trip_.sample(now - *d.first_sent);
  if (d.advanced) backoff_ = 0;
  find_losses();
  adjust_window(now, d, flight_before);
  if (d.advanced || pieces_.empty()) rearm(now);
}

void Sender::take_cumulative(uint64_t acknowledged, Delivery& d) {
  if (acknowledged <= acknowledged_) return;
  d.advanced = true;
  acknowledged_ = acknowledged;
  while (!pieces_.empty() && pieces_.front().end <= acknowledged) {
    const Piece& p = pieces_.front();
    if (p.sacked) {
      sacked_--;
    } else {
      if (p.lost) lost_--;
      delivered(p, d);
    }
    pieces_.pop_front();
  }
  if (!pieces_.empty()) pieces_.front().begin = std::max(pieces_.front().begin, acknowledged);
  if (pieces_.empty()) sent_again_.clear();
}

// A block grows by what came last, so most of it was seen in the acknowledgement before.
void Sender::take_selective(std::span<const ByteRange> sacks, Delivery& d) {
  std::array<ByteRange, 4> seen{};
  for (size_t i = 0; i < std::min(sacks.size(), seen.size()); i++) {
    ByteRange todo = seen[i] = sacks[i];
    if (todo.end > sent_ || todo.begin >= todo.end) continue;
    for (const ByteRange& old : sacks_before_) {
      if (old.begin <= todo.begin && old.end > todo.begin) todo.begin = std::min(old.end, todo.end);
      if (old.end >= todo.end && old.begin < todo.end) todo.end = std::max(old.begin, todo.begin);
    }
    sack_range(todo, d);
  }
  sacks_before_ = seen;
}

void Sender::sack_range(ByteRange range, Delivery& d) {
  for (size_t i = index_of(range.begin); i < pieces_.size() && pieces_[i].end <= range.end; i++) {
    Piece& p = pieces_[i];
    if (p.sacked || p.begin < range.begin) continue;
    if (p.lost) lost_--;
    p.lost = false;
    p.sacked = true;
    sacked_++;
    delivered(p, d);
  }
}

void Sender::delivered(const Piece& p, Delivery& d) {
  d.pieces++;
  if (!p.again) d.first_sent = std::min(d.first_sent.value_or(p.sent_at), p.sent_at);
  if (p.serial <= newest_delivered_) return;
  newest_delivered_ = p.serial;
  newest_sent_at_ = p.sent_at;
}

// ---- what was lost

bool Sender::is_overtaken(const Piece& p) const {
  if (p.serial + kOvertaken <= newest_delivered_) return true;
  const Duration reordering = std::max(round_trip_.least() / 4, kLeastReordering);
  return p.serial < newest_delivered_ && newest_sent_at_ - p.sent_at >= reordering;
}

void Sender::mark_lost(Piece& p) {
  p.lost = true;
  lost_++;
  lost_from_ = std::min(lost_from_, p.begin);
}

void Sender::find_losses() {
  for (size_t i = index_of(judged_); i < pieces_.size(); i++) {
    Piece& p = pieces_[i];
    if (!p.sacked && !p.lost && !p.again) {
      if (!is_overtaken(p)) break;
      mark_lost(p);
    }
    judged_ = p.end;
  }
  while (!sent_again_.empty()) {
    const Sending s = sent_again_.front();
    const size_t i = index_of(s.begin);
    const bool stale = i == pieces_.size() || s.begin < acknowledged_ || pieces_[i].serial != s.serial || pieces_[i].sacked || pieces_[i].lost;
    if (!stale && !is_overtaken(pieces_[i])) break;
    if (!stale) mark_lost(pieces_[i]);
    sent_again_.pop_front();
  }
}

// ---- how much may be on its way

void Sender::adjust_window(Mono now, const Delivery& d, uint32_t flight_before) {
  if (state_ != State::open && acknowledged_ >= recovery_point_) {
    if (state_ == State::recovery) congestion_.set_window(congestion_.threshold());
    state_ = State::open;
  }
  if (state_ == State::open && lost_ != 0) return enter_recovery(d.pieces);
  if (state_ == State::recovery) return reduce(d.pieces);
  // Only a window that was used may grow (RFC 7661, as Linux has it).
  const uint64_t used = congestion_.in_slow_start() ? uint64_t{flight_before} * 2 : flight_before;
  if (used >= congestion_.window()) congestion_.on_acked(now, d.pieces, round_trip_.smoothed());
}

void Sender::enter_recovery(uint32_t delivered) {
  counters_.recoveries++;
  state_ = State::recovery;
  recovery_point_ = sent_;
  prr_flight_ = std::max<uint32_t>(static_cast<uint32_t>(pieces_.size()), 1);
  prr_delivered_ = prr_sent_ = 0;
  congestion_.on_loss();
  reduce(delivered);
}

// RFC 6937 §3: as much is sent as the threshold is of what was on its way, for each piece delivered.
void Sender::reduce(uint32_t delivered) {
  prr_delivered_ += delivered;
  const uint32_t flight = in_flight(), threshold = congestion_.threshold();
  int64_t more = 0;
  if (flight > threshold) {
    more = static_cast<int64_t>((uint64_t{prr_delivered_} * threshold + prr_flight_ - 1) / prr_flight_) - prr_sent_;
  } else {
    const int64_t limit = std::max<int64_t>(int64_t{prr_delivered_} - prr_sent_, delivered) + 1;
    more = std::min<int64_t>(threshold - flight, limit);
  }
  if (prr_sent_ == 0) more = std::max<int64_t>(more, 1);
  congestion_.set_window(flight + static_cast<uint32_t>(std::max<int64_t>(more, 0)));
}

// ---- sending

std::optional<ByteRange> Sender::next(Mono now) {
  if (failed_) return std::nullopt;
  if (pieces_.empty() && sent_ != 0) rest(now);
  if (probe_due_) {
    probe_due_ = false;
    if (const auto piece = send_new(now)) return piece;
    if (!pieces_.empty() && !pieces_.back().sacked && !pieces_.back().lost) return send_again(now, pieces_.back());
  }
  if (in_flight() >= congestion_.window()) return std::nullopt;
  if (lost_ != 0)
    if (const auto piece = send_lost(now)) return piece;
  return send_new(now);
}

void Sender::rest(Mono now) {
  const Duration idle = now - last_sent_, timeout = round_trip_.timeout(0);
  if (sent_ == end() || idle <= timeout) return;
  uint32_t window = congestion_.window();
  for (Duration left = idle - timeout; left > Duration(0) && window > config_.initial_window; left -= timeout) window /= 2;
  congestion_.set_window(std::min(congestion_.window(), std::max(window, config_.initial_window)));
  congestion_.on_idle(idle);
  last_sent_ = now;
}

ByteRange Sender::send_again(Mono now, Piece& p) {
  if (p.lost) lost_--;
  p.lost = false;
  p.again = true;
  p.serial = next_serial_++;
  p.sent_at = last_sent_ = now;
  sent_again_.push_back({p.serial, p.begin});
  counters_.pieces++;
  counters_.retransmitted++;
  prr_sent_++;
  if (p.begin == acknowledged_) timeout_at_ = now + round_trip_.timeout(backoff_);
  return {p.begin, p.end};
}

std::optional<ByteRange> Sender::send_lost(Mono now) {
  for (size_t i = index_of(lost_from_); i < pieces_.size(); i++) {
    lost_from_ = pieces_[i].begin;
    if (!pieces_[i].lost) continue;
    const ByteRange piece = send_again(now, pieces_[i]);
    lost_from_ = piece.end;
    return piece;
  }
  return std::nullopt;
}

std::optional<ByteRange> Sender::send_new(Mono now) {
  if (sent_ == end() || sent_ >= limit_) return std::nullopt;
  uint64_t last = std::min(sent_ + mss_, end_);
  if (last == end_ && finished_) last++;
  if (last > limit_) {
    if (!pieces_.empty()) return std::nullopt;  // a whole piece or none, but for the first
    last = limit_;
  }
  const bool was_empty = pieces_.empty();
  pieces_.push_back({sent_, last, next_serial_++, now});
  sent_ = last;
  last_sent_ = now;
  counters_.pieces++;
  if (state_ == State::recovery) prr_sent_++;
  if (was_empty) timeout_at_ = now + round_trip_.timeout(backoff_);
  arm_probe(now);
  return ByteRange{pieces_.back().begin, last};
}

// ---- time

void Sender::rearm(Mono now) {
  if (pieces_.empty()) {
    timeout_at_ = probe_at_ = kNever;
    return;
  }
  timeout_at_ = now + round_trip_.timeout(backoff_);
  arm_probe(now);
}

void Sender::arm_probe(Mono now) {
  if (state_ != State::open || probed_ || !round_trip_.known()) return;
  probe_at_ = now + 2 * round_trip_.smoothed() + (pieces_.size() == 1 ? kWorstDelayedAck : kProbeMargin);
}

Mono Sender::next_deadline() const {
  if (failed_ || pieces_.empty()) return kNever;
  return state_ == State::open && !probed_ ? std::min(timeout_at_, probe_at_) : timeout_at_;
}

void Sender::on_deadline(Mono now) {
  if (failed_ || pieces_.empty()) return;
  if (now >= timeout_at_) return time_out(now);
  if (state_ != State::open || probed_ || now < probe_at_) return;
  probe_at_ = kNever;
  probe_due_ = probed_ = true;
  timeout_at_ = now + round_trip_.timeout(backoff_);
  counters_.probes++;
}

void Sender::time_out(Mono now) {
  counters_.timeouts++;
  if (backoff_ + 1 > config_.most_timeouts) {
    failed_ = true;
    return;
  }
  // The threshold falls once for one trouble, not with each doubling.
  if (backoff_ == 0 && state_ != State::loss) congestion_.on_loss();
  backoff_++;
  state_ = State::loss;
  recovery_point_ = sent_;
  congestion_.set_window(1);
  sent_again_.clear();
  for (Piece& p : pieces_)
    if (!p.sacked && !p.lost) mark_lost(p);
  timeout_at_ = now + round_trip_.timeout(backoff_);
  probe_at_ = kNever;
  probe_due_ = false;
}

void Sender::set_mss(uint32_t mss) {
  if (mss >= mss_ || mss == 0) return;
  mss_ = mss;
  std::deque<Piece> cut;
  lost_ = sacked_ = 0;
  for (const Piece& p : pieces_) {
    const bool too_large = p.end - p.begin > mss && !p.sacked;
    for (uint64_t at = p.begin; at < p.end;) {
      Piece part = p;
      part.begin = at;
      part.end = too_large ? std::min(at + mss, p.end) : p.end;
      part.lost = part.lost || too_large;
      if (part.lost) lost_++;
      if (part.sacked) sacked_++;
      at = part.end;
      cut.push_back(part);
    }
  }
  pieces_ = std::move(cut);
  lost_from_ = acknowledged_;
}

void Sender::check_invariants() const {
  uint32_t sacked = 0, lost = 0;
  uint64_t at = acknowledged_;
  for (const Piece& p : pieces_) {
    MV_ASSERT(p.begin == at && p.end > p.begin && !(p.sacked && p.lost));
    at = p.end;
    sacked += p.sacked ? 1 : 0;
    lost += p.lost ? 1 : 0;
    MV_ASSERT(!p.lost || p.begin >= lost_from_);
  }
  MV_ASSERT(at == sent_ && sent_ <= end());
  MV_ASSERT(sacked == sacked_ && lost == lost_);
}

}  // namespace macrovpn::sim
