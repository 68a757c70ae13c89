#include "shell/driver/verifier.h"

#include <sys/resource.h>
#include <unistd.h>

#include "shell/clock.h"

namespace macrovpn::shell {

Verifier::Verifier(Reactor& reactor, const Network& network, discovery::CheckDepth depth,
                   std::function<void(uint64_t, const Verdict&)> on_verdict)
    : reactor_(reactor), network_(network), depth_(depth), on_verdict_(std::move(on_verdict)) {
  bell_.hang_in(reactor_, [this] { tell(); });
}

Verifier::~Verifier() {
  {
    const std::lock_guard guard(mutex_);
    ends_ = true;
  }
  more_.notify_one();
  if (thread_.joinable()) thread_.join();
  bell_.take_from(reactor_);
}

void Verifier::ask(std::vector<discovery::SyncCheck> checks) {
  {
    const std::lock_guard guard(mutex_);
    for (auto& c : checks) waiting_.push_back(std::move(c));
  }
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  more_.notify_one();
}

void Verifier::run() {
  static_cast<void>(setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10));  // of this thread; without it: as the others
  std::unique_lock guard(mutex_);
  for (;;) {
    more_.wait(guard, [this] { return ends_ || !waiting_.empty(); });
    if (ends_) return;
    const discovery::SyncCheck check = std::move(waiting_.front());
    waiting_.pop_front();
    guard.unlock();
    auto verdict = discovery::run_check(check, network_, depth_, read_clocks().wall);
    guard.lock();
    done_.emplace_back(check.id, std::move(verdict));
    bell_.ring();
  }
}

void Verifier::tell() {
  std::vector<std::pair<uint64_t, Verdict>> done;
  {
    const std::lock_guard guard(mutex_);
    done.swap(done_);
  }
  for (const auto& [id, verdict] : done) on_verdict_(id, verdict);
}

}  // namespace macrovpn::shell
