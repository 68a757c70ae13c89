// Reactor: one epoll loop on one thread.  Level-triggered.  A handler may add and remove descriptors, its own too.
//
// after_round() runs once after all handlers and timers of a wake-up: there the driver sends what they produced, so
// that one wake-up makes batches.
#pragma once
#include <sys/epoll.h>

#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "base/result.h"
#include "base/time.h"
#include "shell/fd.h"

namespace macrovpn::shell {

class Reactor {
 public:
  using Handler = std::function<void(uint32_t events)>;
  using TimerId = std::pair<Mono, uint64_t>;

  Reactor();
  // The descriptor stays the caller's, who calls remove() before closing it.
  void add(int fd, uint32_t events, Handler handler);
  void modify(int fd, uint32_t events);
  void remove(int fd);

  TimerId at(Mono when, std::function<void()> f);
  TimerId after(Duration d, std::function<void()> f) { return at(now().mono + d, std::move(f)); }
  void cancel(TimerId);

  void after_round(std::function<void()> f) { after_round_ = std::move(f); }
  // A deadline kept by somebody else (the node's): the loop wakes then and runs after_round.
  void wake_at(Mono when) { wake_at_ = when; }

  Now now() const { return now_; }  // read once a wake-up
  void run();                       // until stop()
  void run_once(Duration longest_wait);
  void stop() { stopped_ = true; }

 private:
  struct Entry {
    Handler handler;
    uint32_t generation;  // numbers of descriptors are used again at once
  };
  void refresh_clock();
  void fire_timers();

  Fd epoll_;
  std::unordered_map<int, std::shared_ptr<Entry>> entries_;
  std::map<TimerId, std::function<void()>> timers_;
  uint64_t next_timer_ = 1;
  uint32_t generations_ = 0;
  std::function<void()> after_round_;
  Mono wake_at_ = kNever;
  Now now_;
  bool stopped_ = false;
};

}  // namespace macrovpn::shell
