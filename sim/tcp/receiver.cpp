#include "sim/tcp/receiver.h"

namespace macrovpn::sim {

Receiver::Taken Receiver::on_range(Mono now, uint64_t begin, uint64_t end) {
  counters_.segments++;
  if (end <= in_order_ || end > limit()) {
    counters_.duplicates++;
    ack_now_ = true;
    return Taken::nothing_new;
  }
  const bool had_gap = !ranges_.empty();
  if (begin > in_order_) {
    counters_.out_of_order++;
    ack_now_ = true;
    return insert(begin, end) ? Taken::taken : Taken::nothing_new;
  }
  in_order_ = end;
  close_gap();
  unanswered_++;
  if (quick_ > 0) quick_--, ack_now_ = true;
  if (had_gap || unanswered_ >= 2) ack_now_ = true;
  if (!ack_now_ && ack_at_ == kNever) ack_at_ = now + config_.delayed_ack;
  return Taken::taken;
}

void Receiver::on_ack_sent() {
  ack_now_ = false;
  ack_at_ = kNever;
  unanswered_ = 0;
}

bool Receiver::insert(uint64_t begin, uint64_t end) {
  const auto first = std::partition_point(ranges_.begin(), ranges_.end(), [&](const Range& r) { return r.end < begin; });
  auto last = first;
  Range grown{begin, end, ++count_};
  for (; last != ranges_.end() && last->begin <= end; ++last) {
    if (last->begin <= begin && last->end >= end) {
      counters_.duplicates++;
      last->grown = count_;
      return false;
    }
    grown.begin = std::min(grown.begin, last->begin);
    grown.end = std::max(grown.end, last->end);
  }
  if (first != last) {
    *first = grown;
    ranges_.erase(first + 1, last);
    return true;
  }
  if (ranges_.size() >= kMostRanges) {
    counters_.too_many_gaps++;
    return false;
  }
  ranges_.insert(first, grown);
  return true;
}

void Receiver::close_gap() {
  auto gone = ranges_.begin();
  for (; gone != ranges_.end() && gone->begin <= in_order_; ++gone) in_order_ = std::max(in_order_, gone->end);
  ranges_.erase(ranges_.begin(), gone);
}

size_t Receiver::sacks(std::array<ByteRange, kMostSacks>& out) const {
  size_t count = 0;
  std::array<uint64_t, kMostSacks> grown{};
  for (const Range& r : ranges_) {
    size_t place = count;
    while (place > 0 && grown[place - 1] < r.grown) place--;
    if (place >= kMostSacks) continue;
    count = std::min(count + 1, kMostSacks);
    for (size_t i = count - 1; i > place; i--) out[i] = out[i - 1], grown[i] = grown[i - 1];
    out[place] = {r.begin, r.end};
    grown[place] = r.grown;
  }
  return count;
}

void Receiver::check_invariants() const {
  MV_ASSERT(ranges_.size() <= kMostRanges);
  uint64_t at = in_order_;
  for (const Range& r : ranges_) {
    MV_ASSERT(r.begin > at && r.end > r.begin);
    at = r.end;
  }
}

}  // namespace macrovpn::sim
