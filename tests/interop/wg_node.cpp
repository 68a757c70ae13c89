// wg_node: the product's WireGuard core as a plain WireGuard device, for the interop tests.  See
// node_options.h for its words and wg_device.h for what it says.  Lines on standard input: `stats`, `quit`.
#include <sys/stat.h>

#include <csignal>
#include <iostream>

#include "wg_device.h"

namespace macrovpn::interop {
namespace {

// What was read of standard input that is not a whole line yet.
struct Commands {
  std::string partial;

  void read(shell::Reactor& reactor, const WgDevice& device) {
    char buffer[256];
    const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (n <= 0) return reactor.stop();  // whoever started us is gone
    partial.append(buffer, static_cast<size_t>(n));
    for (size_t end; (end = partial.find('\n')) != std::string::npos; partial.erase(0, end + 1)) {
      const std::string_view command = std::string_view(partial).substr(0, end);
      if (command == "stats") device.print_stats();
      if (command == "quit") reactor.stop();
    }
  }
};

bool is_pipe(int fd) {
  struct stat s {};
  return fstat(fd, &s) == 0 && (S_ISFIFO(s.st_mode) || S_ISSOCK(s.st_mode));
}

Result<void> run(const std::vector<std::string>& words) {
  TRY(const NodeOptions options, parse_options(words));
  shell::Reactor reactor;
  TRY(const std::unique_ptr<WgDevice> device, WgDevice::open(reactor, options));
  Commands commands;
  if (is_pipe(STDIN_FILENO))
    reactor.add(STDIN_FILENO, EPOLLIN, [&](uint32_t) { commands.read(reactor, *device); });
  reactor.run();
  return {};
}

}  // namespace
}  // namespace macrovpn::interop

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const auto done = macrovpn::interop::run({argv + 1, argv + argc});
  if (!done) std::cerr << "wg_node: " << done.error().message << '\n';
  return done ? 0 : 1;
}
