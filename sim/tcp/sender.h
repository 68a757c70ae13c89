// Sender: the sending half of a TCP connection, in offsets of its stream (0 is the first byte after the SYN; a FIN is one byte behind the
// last).  It holds no bytes, only which pieces are on their way; whoever sends a piece writes its bytes again.
//
//   what is lost       a piece is lost when a piece that was sent three sendings later was delivered, or one that was sent a quarter of the
//                      least round trip later (SACK, RFC 2018 and 6675, with RACK's order of sending instead of the stream's, RFC 8985;
//                      so retransmissions that are lost are found too).  RACK's timer for reordering is left out: what is reordered by
//                      more is sent again for nothing, and the window falls.
//   recovery           the window falls by proportional rate reduction (RFC 6937), as in Linux
//   tail loss probe    after two round trips of silence one piece more (RFC 8985 §7)
//   timeout            RFC 6298; everything not delivered counts as lost, and slow start begins with one segment
//   idle               the window halves with each timeout that nothing was sent, down to the initial one (RFC 5681 §4.1, as Linux)
//
// Left out: undoing of a reduction that was for nothing (F-RTO, DSACK), ECN, pacing, Nagle, probes of a closed window (our receivers never
// close it), and peers without SACK (RFC 6582).
#pragma once
#include <array>
#include <deque>
#include <span>

#include "base/assert.h"
#include "sim/tcp/congestion.h"
#include "sim/tcp/round_trip.h"

namespace macrovpn::sim {

struct ByteRange {
  uint64_t begin = 0, end = 0;
  bool operator==(const ByteRange&) const = default;
};

struct SenderConfig {
  CongestionControl control = CongestionControl::cubic;
  uint32_t initial_window = 10;   // RFC 6928
  Duration least_margin = 200ms;  // of the timeout above the round trip
  unsigned most_timeouts = 10;    // in a row; then the connection has failed
};

struct SenderCounters {
  uint64_t pieces = 0, retransmitted = 0;  // of all pieces sent, how many again
  uint64_t recoveries = 0, timeouts = 0, probes = 0;
};

class Sender {
 public:
  Sender(const SenderConfig& config, uint32_t mss) : config_(config), mss_(mss), congestion_(config.control, config.initial_window),
                                                     round_trip_(config.least_margin) {}

  void write(uint64_t bytes) { end_ += bytes; }
  void finish() { finished_ = true; }
  // Up to where the peer takes bytes.
  void set_limit(uint64_t offset) { limit_ = std::max(limit_, offset); }
  // The way carries less: pieces on their way that are too large count as lost, and are cut.
  void set_mss(uint32_t mss);
  void sample_round_trip(Duration d) { round_trip_.sample(d); }  // of the handshake

  void on_ack(Mono now, uint64_t acknowledged, std::span<const ByteRange> sacks);
  // What to send now; nothing: wait.
  std::optional<ByteRange> next(Mono now);
  Mono next_deadline() const;
  void on_deadline(Mono now);

  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t written() const { return end_; }
  uint64_t sent() const { return sent_; }
  uint64_t end() const { return end_ + (finished_ ? 1 : 0); }  // with the FIN
  bool is_done() const { return finished_ && acknowledged_ == end(); }
  bool has_failed() const { return failed_; }
  uint32_t mss() const { return mss_; }
  uint32_t in_flight() const { return static_cast<uint32_t>(pieces_.size()) - sacked_ - lost_; }
  const Congestion& congestion() const { return congestion_; }
  const RoundTrip& round_trip() const { return round_trip_; }
  const SenderCounters& counters() const { return counters_; }
  void check_invariants() const;

 private:
  enum class State : uint8_t { open, recovery, loss };
  struct Piece {
    uint64_t begin, end;
    uint64_t serial;  // of its last sending
    Mono sent_at;
    bool sacked = false, lost = false, again = false;
  };
  struct Sending {
    uint64_t serial, begin;
  };
  struct Delivery {
    uint32_t pieces = 0;
    std::optional<Mono> first_sent;  // the oldest piece that was sent once
    bool advanced = false;
  };

  size_t index_of(uint64_t offset) const;  // the first piece that ends behind it
  void take_cumulative(uint64_t acknowledged, Delivery&);
  void take_selective(std::span<const ByteRange> sacks, Delivery&);
  void sack_range(ByteRange range, Delivery&);
  void delivered(const Piece&, Delivery&);
  bool is_overtaken(const Piece&) const;
  void find_losses();
  void mark_lost(Piece&);
  void adjust_window(Mono now, const Delivery&, uint32_t flight_before);
  void enter_recovery(uint32_t delivered);
  void reduce(uint32_t delivered);
  void rearm(Mono now);
  void arm_probe(Mono now);
  void time_out(Mono now);
  void rest(Mono now);
  ByteRange send_again(Mono now, Piece&);
  std::optional<ByteRange> send_lost(Mono now);
  std::optional<ByteRange> send_new(Mono now);

  SenderConfig config_;
  uint32_t mss_;
  Congestion congestion_;
  RoundTrip round_trip_;

  uint64_t acknowledged_ = 0, sent_ = 0, end_ = 0, limit_ = 0;
  bool finished_ = false, failed_ = false;
  State state_ = State::open;
  uint64_t recovery_point_ = 0;

  std::deque<Piece> pieces_;  // from acknowledged_ to sent_, without gaps
  uint32_t sacked_ = 0, lost_ = 0;
  uint64_t next_serial_ = 1;
  uint64_t judged_ = 0;               // pieces before this were judged as first sendings
  uint64_t lost_from_ = 0;            // no lost piece before this
  std::deque<Sending> sent_again_;    // by serial; stale ones are skipped
  uint64_t newest_delivered_ = 0;     // serial
  Mono newest_sent_at_ = kLongAgo;    // when that one was sent
  std::array<ByteRange, 4> sacks_before_{};

  uint32_t prr_delivered_ = 0, prr_sent_ = 0, prr_flight_ = 0;
  Mono last_sent_ = kLongAgo;
  Mono timeout_at_ = kNever, probe_at_ = kNever;
  unsigned backoff_ = 0;
  bool probe_due_ = false;  // the next piece goes whatever the window says
  bool probed_ = false;     // since something was delivered
  SenderCounters counters_;
};

}  // namespace macrovpn::sim
