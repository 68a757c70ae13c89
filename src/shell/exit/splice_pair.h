// SplicePair: two TCP sockets joined.  Bytes go from each to the other through a pipe and never through us;
// FIN is passed on as FIN (half-close), an error as RST.
//
// Level-triggered, and each direction waits for one thing at a time: holding nothing, for its source to be
// readable; holding bytes, for its sink to be writable.  (A full pipe and an empty socket look the same to
// splice(2), EAGAIN, so a direction that holds bytes must not ask its source.)
#pragma once
#include <functional>
#include <vector>

#include "shell/exit/pipe_pool.h"
#include "shell/reactor.h"

namespace macrovpn::shell {

class SplicePair {
 public:
  enum class End : uint8_t { finished, broken };
  using OnEnd = std::function<void(End)>;  // may destroy the pair
  // Where the way from a to b does not simply begin with what a sends next.
  struct Start {
    std::vector<uint8_t> ahead;    // goes to b first
    std::optional<uint64_t> most;  // bytes that may follow; then a may only close, and more from it breaks the pair
  };
  SplicePair(Reactor& reactor, PipePool& pipes, Fd a, Fd b, OnEnd on_end, Start start = {});
  ~SplicePair();
  SplicePair(const SplicePair&) = delete;
  SplicePair& operator=(const SplicePair&) = delete;
  Mono last_moved() const { return last_moved_; }
  bool is_half_closed() const { return halves_[0].eof || halves_[1].eof; }
  void reset_both();  // closes with RST

 private:
  static constexpr size_t kSpill = 16 << 10;  // bytes of a direction that got no pipe
  struct Half {
    size_t from = 0, to = 0;  // indexes of sockets_
    std::optional<Pipe> pipe;
    std::vector<uint8_t> spill;  // the rest of what was read while no pipe was to be had
    size_t held = 0;
    std::optional<uint64_t> left;  // may still be read; none: any number
    bool eof = false, shut = false;
  };
  struct Socket {
    Fd fd;
    uint32_t wanted = 0;
    bool watched = false;
  };
  enum class Step : uint8_t { moved, wait, broken };
  void on_event(size_t socket, uint32_t events);
  bool pump(Half&);  // false: broken
  Step fill(Half&);
  Step expect_end(Half&);
  Step drain(Half&);
  void watch(size_t socket);
  void end(End);

  Reactor& reactor_;
  PipePool& pipes_;
  Socket sockets_[2];
  Half halves_[2];
  Mono last_moved_;
  OnEnd on_end_;
};

}  // namespace macrovpn::shell
