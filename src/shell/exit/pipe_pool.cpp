#include "shell/exit/pipe_pool.h"

#include <fcntl.h>

namespace macrovpn::shell {

std::optional<Pipe> PipePool::borrow() {
  if (!free_.empty()) {
    Pipe p = std::move(free_.back());
    free_.pop_back();
    return p;
  }
  int fds[2];
  if (made_ >= limit_ || pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) return std::nullopt;
  made_++;
  fcntl(fds[0], F_SETPIPE_SZ, 256 << 10);  // refused near the user's limit: then it stays at 64 KiB
  return Pipe{Fd(fds[1]), Fd(fds[0])};
}

void PipePool::give_back(Pipe pipe) {
  if (free_.size() < kKeep) {
    free_.push_back(std::move(pipe));
  } else {
    made_--;
  }
}

}  // namespace macrovpn::shell
