// Bell: wakes the reactor of another thread.  Rung any number of times, it wakes once.
#pragma once
#include <sys/eventfd.h>

#include <atomic>
#include <functional>

#include "shell/reactor.h"

namespace macrovpn::shell {

class Bell {
 public:
  Bell() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { MV_ASSERT(fd_.get() >= 0); }
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  // From any thread.  What was written before it is seen by the handler that it wakes.
  void ring() {
    if (rung_.exchange(true)) return;
    const uint64_t one = 1;
    MV_ASSERT(write(fd_.get(), &one, sizeof one) == sizeof one);
  }
  // By the thread of the reactor.  The bell outlives it, or is taken off.
  void hang_in(Reactor& reactor, std::function<void()> on_ring) {
    reactor.add(fd_.get(), EPOLLIN, [this, f = std::move(on_ring)](uint32_t) {
      uint64_t count = 0;
      static_cast<void>(read(fd_.get(), &count, sizeof count));
      rung_.exchange(false);  // before the work: who rings during it is heard again; reads, so that what was written is seen
      f();
    });
  }
  void take_from(Reactor& reactor) { reactor.remove(fd_.get()); }

 private:
  Fd fd_;
  std::atomic<bool> rung_{false};
};

}  // namespace macrovpn::shell
