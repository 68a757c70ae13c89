// MeasureSide: measures the bandwidth of other relays for which this one is drawn (core/discovery/measured.h), and lets itself be measured.
//
//   MEASURE     a relay says who it is, in which week and how fast, signed for this very session.  Only who is in the directory, and drawn for us, gets
//               anything; all others get a "no" that is shorter than what they said
//   MEASURE_OK  no, later (we are busy), yes (begin now), and after kMeasureFor: over, with what was carried for others meanwhile
//   SAMPLE      1024 bytes, sent back as they are (ECHO): as many as were agreed, in that session, for that time
//
//   bounds      one measurement at a time, whichever side we are; kPerCaller and, of those who call from elsewhere than the relay that they name, kInAll MEASUREs; in a week kMaxMeasured results and discovery's bound of
//               asks; echoes count against what the operator lends, samples are no faster than that
//
// When: each target at a time of its own in the first four fifths of the week.  A target that says no three times, though it is drawn, or that four
// times does not answer while most others do, has refused, and that is a result as well.
//
// What is measured goes into our descriptor when that is signed the next time: nobody is told otherwise.  What the measured one learns: that we
// measure it.  What we learn: what it can carry, and how busy it was in those ten seconds.
#pragma once
#include "core/discovery/measured.h"
#include "core/encryption/rate_limit.h"
#include "core/node/directory_side.h"
#include "core/node/relay_links.h"

namespace macrovpn::node {

struct MeasureCounters {
  uint64_t measured = 0, refused = 0, silent = 0;  // others, by us
  uint64_t served = 0, denied = 0;                 // others, who asked us
  uint64_t verified = 0;                           // signatures of those
  uint64_t echoed = 0;                             // samples, for others
};

class MeasureSide {
 public:
  static constexpr encryption::Rate kPerCaller{1, 4}, kInAll{4, 16};
  // Who puts off so often, ever longer apart (most of a day in all), refuses; else he would put off whoever is not his friend.
  static constexpr unsigned kRefusals = 3, kSilences = 4, kLaters = 16;
  static constexpr Duration kAnswerTime = 5s, kBackgroundTime = 2s, kOverAgain = 500ms;
  static constexpr Duration kPace = 5ms;  // samples go out as often

  MeasureSide(Shared s, RelayLinks& links, DirectorySide& directory);

  // Whose frame it is: at whichever shard its session is.
  struct Caller {
    PeerRef session;
    CallerKey budget;
    crypto::Hash32 handshake_hash;
  };
  void on_request(Now now, const Caller&, const routing::Frame&);
  void carry_out(Effects& fx);  // at the end of each turn
  void caller_gone(PeerRef caller);
  void on_link(Now now, const LinkEvent&);
  void on_link_frame(Now now, PeerRef link, const routing::Frame&);
  Mono next_deadline() const;
  void on_deadline(Now now, Effects& fx);

  const MeasureCounters& counters() const { return counters_; }
  std::optional<PeerRef> measured_by() const { return serving_ ? std::optional(serving_->caller) : std::nullopt; }
  // Of this week, by the short ids of those who were measured.
  const std::map<uint64_t, uint8_t>& results() const { return now_; }
  void check_invariants() const;

 private:
  struct Task {
    Mono at;
    unsigned refused = 0, silent = 0, later = 0;
  };
  struct Run {
    PeerRef link;
    discovery::EntryPtr target;
    enum class Phase : uint8_t { calling, asked, measuring } phase = Phase::calling;
    Mono until;       // when we give up
    Mono pace_at = kNever;
    Bandwidth rate;
    bool has_background = false;
    std::optional<discovery::BandwidthMeasurer> measurer{};
  };
  struct Serving {
    PeerRef caller;
    PeerId by;
    Mono over_at;
    bool said_over = false;  // it is said twice: the line is full
    uint64_t carried_before = 0, echoed = 0, background = 0;  // bytes, of Resources
  };
  void roll(Now now);
  void plan(Now now);
  void begin(Now now);
  void drive(Now now);
  enum class End : uint8_t { measured, refused, silent, later };
  void finish(Now now, End how);
  void record(uint64_t target, const std::optional<Bandwidth>&);
  bool is_silence_theirs() const;
  void say(PeerRef caller, std::vector<uint8_t> frame);
  void put_off(Now now, Task& task);
  void on_measure(Now now, const Caller&, Bytes body);
  void on_sample(Now now, PeerRef caller, Bytes body);
  void end_serving(Now now);
  Bandwidth own_rate() const;
  bool is_busy(Now now) const;
  uint16_t week16() const { return static_cast<uint16_t>(week_); }
  std::optional<MeasuredRelays> published() const;

  Shared s_;
  RelayLinks& links_;
  DirectorySide& directory_;
  Duration week_length_;
  uint32_t week_ = 0;  // 0: not begun
  std::map<uint64_t, uint8_t> now_, before_;
  std::optional<MeasuredRelays> kept_;  // as was saved, or before the clock jumped: it may come back
  std::map<discovery::ShortId, Task> tasks_;  // of this week
  Mono plan_at_ = kLongAgo;
  std::optional<Run> run_;
  discovery::BandwidthTarget target_;
  std::optional<Serving> serving_;
  encryption::RateLimit callers_{4096};
  encryption::TokenBucket all_;
  std::vector<std::pair<PeerRef, std::vector<uint8_t>>> elsewhere_;  // frames for callers of other shards: leave at the turn's end
  bool changed_ = false;
  MeasureCounters counters_;
};

}  // namespace macrovpn::node
