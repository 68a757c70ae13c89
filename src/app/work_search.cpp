#include "app/work_search.h"

#include <sys/resource.h>
#include <unistd.h>

namespace macrovpn::app {

WorkSearch::WorkSearch(const discovery::WorkTask& task, uint64_t first_nonce) : task_(task), thread_([this, first_nonce] { run(first_nonce); }) {}

WorkSearch::~WorkSearch() {
  ends_ = true;
  thread_.join();
}

std::optional<WorkProof> WorkSearch::found() const {
  const std::lock_guard guard(mutex_);
  return found_;
}

void WorkSearch::run(uint64_t nonce) {
  static_cast<void>(setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 19));  // of this thread; without it: as the others
  for (; !ends_; nonce++) {
    const auto proof = discovery::search_work(task_, nonce, 1);
    tries_++;
    if (!proof) continue;
    const std::lock_guard guard(mutex_);
    found_ = proof;
    return;
  }
}

}  // namespace macrovpn::app
