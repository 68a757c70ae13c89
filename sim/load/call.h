// Call: a voice call over UDP, 50 packets a second each way, judged as a listener would: what is late is as bad as what is lost.
//
//   packet   call id 8 ‖ number 4 ‖ sent at 8 (nanoseconds, big endian) ‖ pattern of both up to 160 bytes (G.711: 20 ms of sound)
//   goodbye  call id 8, three times
//
// A packet is late when it took `playout` longer than the fastest of the last ten seconds or so: a listener's buffer has gone past it. The
// clock of both sides is the world's, so one way is measured.
//
// The caller's figures are of what it hears. What the other side hears is in the report of its CallAnswerer.
#pragma once
#include <map>

#include "base/rng.h"
#include "sim/load/udp.h"
#include "sim/load/workload.h"

namespace macrovpn::sim {

// One direction of a call, at the ear.
class CallEar {
 public:
  // `begins`: when the other side is first expected to be heard.
  explicit CallEar(Duration playout, Mono begins = kNever) : playout_(playout), last_heard_(begins) {}
  // False: it is no packet of this call.
  bool hear(Mono now, uint64_t call, Bytes payload, LoadReport& report);
  uint32_t highest() const { return next_; }

 private:
  Duration playout_;
  Duration fastest_ = std::chrono::hours(1);
  Mono fastest_since_ = kLongAgo;
  uint32_t next_ = 0;          // the number after the highest that came
  uint64_t seen_ = 0;          // the 64 numbers before that, a bit each
  Mono last_heard_;
};

// One direction of a call, at the mouth.
class CallMouth {
 public:
  static constexpr Duration kEvery = 20ms;
  static constexpr size_t kBytes = 160;
  Mono next() const { return next_; }
  void begin(Mono at) { next_ = at; }
  void end() { next_ = kNever; }
  // Says whatever is due.
  void speak(Mono now, uint64_t call, const Endpoint& from, const Endpoint& to, LoadReport& report, PacketSink& out);

 private:
  Mono next_ = kNever;
  uint32_t number_ = 0;
};

struct CallConfig {
  Endpoint local, remote;
  Duration playout = 80ms;
  Duration lasts = std::chrono::minutes(3);
  Duration pause = std::chrono::minutes(1);  // until the next call
  Mono begins{};
};

class Call final : public Workload {
 public:
  Call(const CallConfig& config, Rng& random) : config_(config), random_(&random), begin_(config.begins) {}

  void on_packet(Mono now, Bytes packet, PacketSink& out) override;
  void on_deadline(Mono now, PacketSink& out) override;
  Mono next_deadline() const override;
  const LoadReport& report() const override { return report_; }
  void restart(Mono now) override;

 private:
  void hang_up(Mono now, PacketSink& out);

  CallConfig config_;
  Rng* random_;
  Mono begin_, end_ = kNever;
  uint64_t id_ = 0;
  CallEar ear_{Duration(0)};
  CallMouth mouth_;
  LoadReport report_;
};

// The other side of any number of calls, all of whose packets leave on one beat. It speaks to where a call was last heard from, so a
// caller may move.
class CallAnswerer final : public Workload {
 public:
  static constexpr size_t kMostCalls = 4096;
  static constexpr Duration kSilence = std::chrono::seconds(15);  // then the caller is gone: what was said since counts for nothing
  CallAnswerer(uint16_t port, Duration playout) : port_(port), playout_(playout) {}

  void on_packet(Mono now, Bytes packet, PacketSink& out) override;
  void on_deadline(Mono now, PacketSink& out) override;
  Mono next_deadline() const override { return beat_; }
  const LoadReport& report() const override { return report_; }
  void restart(Mono) override {
    calls_.clear();
    beat_ = kNever;
  }
  size_t calls() const { return calls_.size(); }

 private:
  struct Ongoing {
    Endpoint local, remote;
    CallEar ear;
    CallMouth mouth;
    Mono heard;
    uint64_t said_since = 0;  // packets
  };
  uint16_t port_;
  Duration playout_;
  std::map<uint64_t, Ongoing> calls_;
  Mono beat_ = kNever;
  LoadReport report_;
};

}  // namespace macrovpn::sim
