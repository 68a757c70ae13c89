#include "shell/reactor.h"

#include <algorithm>
#include <cerrno>

#include "shell/clock.h"

namespace macrovpn::shell {

Reactor::Reactor() : epoll_(epoll_create1(EPOLL_CLOEXEC)), now_(read_clocks()) { MV_ASSERT(epoll_.get() >= 0); }

namespace {

// What epoll keeps for us: the descriptor, and which of those that had this number.
uint64_t tag_of(int fd, uint32_t generation) {
  return uint64_t{generation} << 32 | static_cast<uint32_t>(fd);
}

}  // namespace

void Reactor::add(int fd, uint32_t events, Handler handler) {
  const uint32_t generation = ++generations_;
  epoll_event e{};
  e.events = events;
  e.data.u64 = tag_of(fd, generation);
  MV_ASSERT(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &e) == 0);
  entries_[fd] = std::make_shared<Entry>(std::move(handler), generation);
}

void Reactor::modify(int fd, uint32_t events) {
  MV_ASSERT(entries_.contains(fd));
  epoll_event e{};
  e.events = events;
  e.data.u64 = tag_of(fd, entries_.at(fd)->generation);
  MV_ASSERT(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &e) == 0);
}

void Reactor::remove(int fd) {
  if (entries_.erase(fd) != 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Reactor::TimerId Reactor::at(Mono when, std::function<void()> f) {
  const TimerId id{when, next_timer_++};
  timers_.emplace(id, std::move(f));
  return id;
}

void Reactor::cancel(TimerId id) { timers_.erase(id); }

void Reactor::refresh_clock() { now_ = read_clocks(); }

void Reactor::fire_timers() {
  // Timers set while firing wait for the next round, so that one that re-arms itself cannot hold the loop.
  const uint64_t newest = next_timer_;
  while (!timers_.empty() && timers_.begin()->first.first <= now_.mono && timers_.begin()->first.second < newest) {
    auto node = timers_.extract(timers_.begin());
    node.mapped()();
  }
}

void Reactor::run_once(Duration longest_wait) {
  refresh_clock();
  Mono until = std::min(now_.mono + longest_wait, wake_at_);
  if (!timers_.empty()) until = std::min(until, timers_.begin()->first.first);
  const Duration wait = std::clamp<Duration>(until - now_.mono, Duration::zero(), 1h);
  const timespec ts{static_cast<time_t>(wait / 1s), static_cast<long>((wait % 1s).count())};
  epoll_event events[128];
  const int n = epoll_pwait2(epoll_.get(), events, 128, &ts, nullptr);
  MV_ASSERT(n >= 0 || errno == EINTR);
  refresh_clock();
  for (int i = 0; i < n; i++) {
    const uint64_t tag = events[i].data.u64;
    const int fd = static_cast<int>(tag & UINT32_MAX);
    const auto it = entries_.find(fd);
    // Removed by an earlier handler of this round, and perhaps closed and its number given to another.
    if (it == entries_.end() || tag != tag_of(fd, it->second->generation)) continue;
    const std::shared_ptr<Entry> keep = it->second;
    keep->handler(events[i].events);
  }
  fire_timers();
  if (after_round_) after_round_();
}

void Reactor::run() {
  stopped_ = false;
  while (!stopped_) run_once(1h);
}

}  // namespace macrovpn::shell
