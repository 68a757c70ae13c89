#include "shell/box/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <cerrno>
#include <optional>

#include "shell/clock.h"

namespace macrovpn::shell {
namespace {

constexpr int kSignals[] = {SIGCHLD, SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};

// The program's status once it has ended.
std::optional<int> ended(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, WNOHANG) != pid) return std::nullopt;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void pass_on_signals(int signals, pid_t program) {
  signalfd_siginfo s;
  while (read(signals, &s, sizeof s) == sizeof s) {
    const bool sent_to_us = s.ssi_code == SI_USER || s.ssi_code == SI_QUEUE || s.ssi_code == SI_TKILL;
    if (s.ssi_signo != SIGCHLD && sent_to_us) kill(program, static_cast<int>(s.ssi_signo));
  }
}

int wait_ms(Mono now, Mono until) {
  if (until == kNever) return -1;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
  return static_cast<int>(std::max<int64_t>(ms, 0));
}

}  // namespace

Result<Fd> catch_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : kSignals) sigaddset(&set, s);
  Fd fd(sigprocmask(SIG_BLOCK, &set, nullptr) == 0 ? signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) : -1);
  if (!fd) return fail("cannot watch the program: out of descriptors; close other programs and try again");
  return fd;
}

int supervise(const Box& box, Attachment& attachment, const Fd& signals) {
  for (;;) {
    if (const auto status = ended(box.pid())) return *status;
    pollfd fds[2] = {{signals.get(), POLLIN, 0}, {attachment.fd(), POLLIN, 0}};  // poll skips -1
    poll(fds, 2, wait_ms(read_clocks().mono, attachment.next_retry()));
    if (fds[0].revents != 0) pass_on_signals(signals.get(), box.pid());
    if (fds[1].revents != 0) attachment.on_readable(read_clocks().mono);
    attachment.retry(read_clocks().mono);
  }
}

}  // namespace macrovpn::shell
