// Parking: halts the reactors of other threads together for a moment, so that one thread may look at and change what is theirs,
// and all of them go on with the same.  For changes that are rare and must be whole: nothing on the way of a packet knows of it.
//
// A thread halts between two handlers.  What its own after_round() does follows when it goes on, with what was changed.
#pragma once
#include <condition_variable>
#include <mutex>

#include "shell/bell.h"

namespace macrovpn::shell {

class Parking {
 public:
  explicit Parking(size_t threads);
  // Before the thread runs; the reactor outlives this, or the thread has ended and leave() was called.
  void enter(size_t thread, Reactor&);
  void leave(size_t thread, Reactor& reactor) { bells_[thread]->take_from(reactor); }

  // While one lives all threads stand.  By one thread, which has none of these reactors.  It waits as long as a handler takes.
  // Inside of another one it does nothing.
  class Halt {
   public:
    explicit Halt(Parking&);
    ~Halt();
    Halt(const Halt&) = delete;
    Halt& operator=(const Halt&) = delete;

   private:
    Parking& parking_;
  };

 private:
  void stand();

  std::vector<std::unique_ptr<Bell>> bells_;
  size_t halts_ = 0;  // of the halting thread
  std::mutex mutex_;
  std::condition_variable arrived_, go_on_;
  bool halted_ = false;
  uint64_t round_ = 0;
  size_t standing_ = 0;
};

}  // namespace macrovpn::shell
