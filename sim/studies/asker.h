// A program that asks, and one that answers: a question in a UDP datagram again and again, each with a number of its own, so that every answer
// tells when it was asked for. A question that is lost is not asked again; the next one is.
#pragma once
#include "model/ip.h"
#include "sim/world/program.h"

namespace macrovpn::sim {

inline constexpr uint16_t kAnswererPort = 7;

class Asker final : public Program {
 public:
  Asker(const IpAddress& local, const IpAddress& site, Duration every) : from_{local, 40'000}, to_{site, kAnswererPort}, every_(every) {}

  void start(ProgramPort&) override;
  void on_timer(ProgramPort&) override;
  void on_packet(ProgramPort&, Bytes ip) override;

  void rest() { rests_ = true; }  // it asks no more
  // When the first answer came to a question that was asked since the last mark; kNever: none yet. Begins with a mark.
  Mono answered() const { return answered_; }
  void mark(Mono now) {
    since_ = now;
    answered_ = kNever;
  }

 private:
  void ask(ProgramPort&);

  Endpoint from_, to_;
  Duration every_;
  Mono began_{};
  uint64_t next_ = 0;
  bool rests_ = false;
  Mono since_ = kLongAgo, answered_ = kNever;
};

class Answerer final : public Program {
 public:
  void on_packet(ProgramPort&, Bytes ip) override;
};

}  // namespace macrovpn::sim
