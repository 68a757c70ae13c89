#include "app/start_daemon.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "shell/clock.h"
#include "shell/control/client.h"
#include "shell/fd.h"

namespace macrovpn::app {
namespace {

using shell::Fd;

[[noreturn]] void be_the_daemon(const std::vector<std::string>& arguments, int errors) {
  setsid();
  const int null = open("/dev/null", O_RDWR);
  if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(errors, 2) < 0 || chdir("/") != 0)
    _exit(125);
  std::vector<char*> args{const_cast<char*>("macrovpn")};
  for (const std::string& a : arguments) args.push_back(const_cast<char*>(a.c_str()));
  args.push_back(nullptr);
  close_range(3, ~0u, 0);
  execv("/proc/self/exe", args.data());
  _exit(125);
}

// Its last words, without the name of the program that complaints start with.
std::string last_words(const Fd& errors) {
  char text[1024];
  const ssize_t n = pread(errors.get(), text, sizeof text, 0);
  std::string s(text, n > 0 ? static_cast<size_t>(n) : 0);
  while (!s.empty() && s.back() == '\n') s.pop_back();
  constexpr std::string_view prefix = "macrovpn: ";
  return s.starts_with(prefix) ? s.substr(prefix.size()) : s;
}

}  // namespace

Result<void> start_daemon(const std::vector<std::string>& arguments, const std::string& control_socket) {
  const Fd errors(memfd_create("daemon", MFD_CLOEXEC));
  const pid_t pid = errors ? fork() : -1;
  if (pid < 0)
    return fail("cannot start a daemon: the system is out of processes or memory; close other programs");
  if (pid == 0) be_the_daemon(arguments, errors.get());
  const Mono deadline = shell::read_clocks().mono + kDaemonStartTimeout;
  while (shell::read_clocks().mono < deadline) {
    if (reach_daemon(control_socket).ok()) return {};
    if (waitpid(pid, nullptr, WNOHANG) == pid) {
      if (reach_daemon(control_socket).ok()) return {};  // somebody else's came first
      return fail("the daemon ended as it started: " + last_words(errors));
    }
    usleep(5'000);
  }
  return fail("the daemon does not answer; try `macrovpn daemon` in another terminal to see why");
}

shell::control::Patience patience_of_a_person() {
  return {.on_slow = [] { std::fprintf(stderr, "macrovpn: waiting for the daemon to answer ...\n"); }};
}

Result<shell::control::Client, shell::control::NoDaemon> reach_daemon(const std::string& control_socket) {
  using shell::control::Client;
  return Client::connect(control_socket, Client::Events::none, patience_of_a_person());
}

Result<void> stop_daemon(shell::control::Client& client, const std::string& control_socket) {
  TRY_VOID(client.call("stop"));
  const Fd lock(open((control_socket + ".lock").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!lock) return {};  // gone with it
  for (int i = 0; i < 500; i++) {
    if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return {};
    usleep(10'000);
  }
  return fail("the daemon was told to end and has not ended yet; look again with `macrovpn status`");
}

}  // namespace macrovpn::app
