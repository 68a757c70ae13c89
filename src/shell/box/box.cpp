#include "shell/box/box.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "shell/box/inside_network.h"
#include "shell/box/privacy_mounts.h"
#include "shell/namespace.h"

namespace macrovpn::shell {
namespace {

// The product's published defaults: the same inside every box, so that they tell nothing.
constexpr std::string_view kResolvConf = "nameserver 10.10.0.1\nnameserver fd86:ea04:1115::1\n";

// The folder that we stand in may be one that is hidden now: from within it everything in it could still be reached.
void stand_in_what_is_to_be_seen() {
  std::error_code error;
  const std::filesystem::path here = std::filesystem::current_path(error);
  if (!error && chdir(here.c_str()) == 0) return;
  static_cast<void>(chdir("/") == 0);
}

Result<PacketDevice> prepare(const Inside& inside, const BoxOptions& o) {
  TRY_VOID(inside.settle());
  TRY(PacketDevice device, make_inside_network({o.mtu, o.device}));
  TRY_VOID(mount_privately(o.hidden_folders, kResolvConf));
  stand_in_what_is_to_be_seen();
  return device;
}

void report_errno(int channel, int error) {
  const uint8_t body = static_cast<uint8_t>(error);
  static_cast<void>(send_fds(channel, {&body, 1}, {}).ok());
}

[[noreturn]] void execute(int channel, const std::vector<std::string>& argv) {
  std::vector<char*> args;
  for (const std::string& a : argv) args.push_back(const_cast<char*>(a.c_str()));
  args.push_back(nullptr);
  execvp(args[0], args.data());  // the channel closes on success, which tells our parent
  report_errno(channel, errno);
  _exit(127);
}

int status_of(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// The first process of the box: reaps, passes on the signals that were sent to us (one from a terminal reached the program
// already), and takes all that is left with it when the program ends.
[[noreturn]] void stand_beside(pid_t program, const sigset_t& signals) {
  for (;;) {
    siginfo_t s{};
    if (sigwaitinfo(&signals, &s) < 0) continue;
    const bool sent = s.si_code == SI_USER || s.si_code == SI_QUEUE || s.si_code == SI_TKILL;
    if (s.si_signo != SIGCHLD && sent) kill(program, s.si_signo);
    int status = 0;
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (ended == program) _exit(status_of(status));
    }
  }
}

[[noreturn]] void start_program(Fd channel, const std::vector<std::string>& argv) {
  sigset_t signals, before;
  sigemptyset(&signals);
  for (const int s : {SIGCHLD, SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2}) sigaddset(&signals, s);
  sigprocmask(SIG_BLOCK, &signals, &before);
  prctl(PR_SET_DUMPABLE, 0);
  const bool dropped = drop_capabilities();
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // after the capabilities: a change of those clears it
  const pid_t program = dropped ? fork() : -1;
  if (program < 0) {
    report_errno(channel.get(), errno);
    _exit(127);
  }
  if (program == 0) {
    sigprocmask(SIG_SETMASK, &before, nullptr);
    execute(channel.get(), argv);
  }
  channel.reset();
  stand_beside(program, signals);
}

[[noreturn]] void be_the_box(const Inside& inside, Fd channel_end, const BoxOptions& o) {
  const int channel = channel_end.get();
  {
    auto device = prepare(inside, o);
    if (!device) {
      report_error(channel, device.error());
      _exit(1);
    }
    const int fd = device->fd();
    if (!report_ready(channel, device->encode(), {&fd, 1}).ok()) _exit(1);
  }
  char go = 0;
  if (recv(channel, &go, 1, 0) != 1) _exit(1);  // our parent is gone or changed its mind
  start_program(std::move(channel_end), o.argv);
}

void reap(pid_t pid) {
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

Result<Box> Box::create(const BoxOptions& o) {
  MV_ASSERT(!o.argv.empty());
  TRY(SocketPair channel, make_fd_channel());
  TRY(const Inside inside, fork_into_namespaces());
  if (inside.pid == 0) {
    channel.a.reset();
    be_the_box(inside, std::move(channel.b), o);
  }
  channel.b.reset();
  Box box(inside.pid, std::move(channel.a));
  TRY_VOID(box.await_device());
  return box;
}

Result<void> Box::await_device() {
  TRY(FdMessage m, await_report(channel_.get()));
  if (m.fds.size() != 1) return fail("the box came without its network device; try again");
  TRY(device_, PacketDevice::decode(std::move(m.fds[0]), m.body));
  return {};
}

Box::Box(Box&& o) noexcept
    : pid_(std::exchange(o.pid_, -1)),
      channel_(std::move(o.channel_)),
      device_(std::move(o.device_)),
      started_(o.started_),
      exec_errno_(o.exec_errno_) {}

Box::~Box() {
  channel_.reset();
  if (pid_ <= 0 || started_) return;
  kill(pid_, SIGKILL);
  reap(pid_);
}

Result<void> Box::start() {
  MV_ASSERT(!started_ && pid_ > 0);
  if (send(channel_.get(), "g", 1, MSG_NOSIGNAL) != 1) return fail("the box has gone; try again");
  const auto answer = recv_fds(channel_.get());
  if (!answer) {  // end of stream: executed
    started_ = true;
    return {};
  }
  exec_errno_ = answer->body.empty() ? EIO : answer->body[0];
  return fail(exec_errno_ == ENOENT
                  ? "there is no such program: check its name, or give its whole path"
                  : std::string("the program cannot be started: ") + std::strerror(exec_errno_));
}

}  // namespace macrovpn::shell
