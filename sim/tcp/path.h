// TcpPath: two computers with a link each way between them: the smallest world for TCP, for its tests and for the comparison with a
// kernel's (tests/e2e/tcp_model_test.py).
#pragma once
#include <queue>

#include "sim/net/link.h"
#include "sim/tcp/host.h"

namespace macrovpn::sim {

class TcpPath {
 public:
  enum class Side : uint8_t { left, right };
  // Bytes that a link carries besides each IP packet: 14 on an Ethernet.
  TcpPath(const LinkModel& rightward, const LinkModel& leftward, const TcpConfig& config, uint64_t seed, size_t framing = 0);

  TcpPath(const TcpPath&) = delete;
  TcpPath& operator=(const TcpPath&) = delete;

  TcpHost& host(Side side) { return end(side).tcp; }
  PacketSink& sink(Side side) { return end(side).sink; }
  const IpAddress& address(Side side) const { return side == Side::left ? ends_[0].address : ends_[1].address; }
  Link& link_from(Side side) { return end(side).link; }
  Mono now() const { return now_; }
  void run_until(Mono then);
  template <class Done>
  bool run_until(Done done, Duration at_most) {
    const Mono end_of_it = now_ + at_most;
    while (!done()) {
      if (next_event() > end_of_it) return false;
      run_until(next_event());
    }
    return true;
  }
  uint64_t packets() const { return packets_; }
  // Every packet that is sent, before its link.
  std::function<void(Side from, Bytes packet)> watch;

 private:
  struct Sink final : PacketSink {
    TcpPath* path = nullptr;
    Side side = Side::left;
    void send(Bytes packet) override { path->offer(side, packet); }
  };
  struct End {
    IpAddress address;
    SeededRng random;
    Link link;  // away from here
    TcpHost tcp;
    Sink sink;
  };
  struct Flight {
    Mono at;
    uint64_t number;
    Side to;
    std::vector<uint8_t> bytes;
    bool operator>(const Flight& o) const { return std::pair(at, number) > std::pair(o.at, o.number); }
  };

  End& end(Side side) { return side == Side::left ? ends_[0] : ends_[1]; }
  void offer(Side from, Bytes packet);
  Mono next_event() const;

  std::array<End, 2> ends_;
  size_t framing_;
  Mono now_{1s};
  std::vector<Flight> flying_;  // a heap, the next arrival in front
  std::vector<std::vector<uint8_t>> spare_;
  uint64_t packets_ = 0;
};

}  // namespace macrovpn::sim
