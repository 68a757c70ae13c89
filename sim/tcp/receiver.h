// Receiver: the receiving half of a TCP connection, in offsets of the peer's stream.  It holds no bytes, only which have come.
//
//   acknowledgements   at once for every second segment, for what is out of order, and for what fills a gap; else after `delayed_ack`
//                      (RFC 5681 §4.2).  The first `quick_acks` segments are answered at once, as Linux does so that slow start is not slowed.
//   SACK               the block that came last first, then the others by how lately they grew (RFC 2018 §4)
#pragma once
#include <vector>

#include "sim/tcp/segment.h"
#include "sim/tcp/sender.h"

namespace macrovpn::sim {

struct ReceiverConfig {
  uint32_t window = 4 << 20;    // bytes beyond what came in order
  Duration delayed_ack = 40ms;
  unsigned quick_acks = 16;
};

struct ReceiverCounters {
  uint64_t segments = 0, out_of_order = 0, duplicates = 0, too_many_gaps = 0;
};

class Receiver {
 public:
  // Ranges behind a gap that are remembered; a segment that would need more is dropped, as a kernel drops when its memory is full.
  static constexpr size_t kMostRanges = 512;
  explicit Receiver(const ReceiverConfig& config) : config_(config), quick_(config.quick_acks) {}

  enum class Taken : uint8_t { nothing_new, taken };
  // [begin, end) came, with a FIN behind the last byte counted as one byte.
  Taken on_range(Mono now, uint64_t begin, uint64_t end);
  // Something came that needs an answer although it brought nothing.
  void answer_at_once() { ack_now_ = true; }
  void on_ack_sent();

  uint64_t in_order() const { return in_order_; }
  uint64_t limit() const { return in_order_ + config_.window; }
  bool wants_ack(Mono now) const { return ack_now_ || now >= ack_at_; }
  Mono next_deadline() const { return ack_now_ ? kLongAgo : ack_at_; }
  // At most kMostSacks.
  size_t sacks(std::array<ByteRange, kMostSacks>& out) const;
  const ReceiverCounters& counters() const { return counters_; }
  void check_invariants() const;

 private:
  struct Range {
    uint64_t begin, end;
    uint64_t grown;  // when, as a count
  };
  bool insert(uint64_t begin, uint64_t end);
  void close_gap();

  ReceiverConfig config_;
  uint64_t in_order_ = 0;
  std::vector<Range> ranges_;  // ascending, with gaps between, all beyond in_order_
  uint64_t count_ = 0;
  unsigned quick_;
  unsigned unanswered_ = 0;
  bool ack_now_ = false;
  Mono ack_at_ = kNever;
  ReceiverCounters counters_;
};

}  // namespace macrovpn::sim
