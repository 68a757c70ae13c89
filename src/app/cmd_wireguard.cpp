// `macrovpn wireguard`, and `macrovpn-wireguard` for wg-quick: called as wireguard-go is.
#include <fcntl.h>
#include <linux/if.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "app/command.h"
#include "app/other_names.h"
#include "shell/driver/steering.h"
#include "shell/wireguard/device.h"
#include "shell/wireguard/uapi_socket.h"

namespace macrovpn::app {
namespace {

using shell::DeviceLog;
using shell::Fd;
using shell::LogLevel;

constexpr const char* kHelp =
    "Makes a network device INTERFACE that speaks WireGuard, without the kernel's own, and returns; `wg` "
    "and\n"
    "`wg-quick` configure it.  It needs root, or a TUN device that is yours.  It ends when the device or the "
    "file\n"
    "/var/run/wireguard/INTERFACE.sock is deleted.  It has nothing to do with circuits: packets go to the "
    "peers that\n"
    "you name, and nowhere else.\n\n"
    "Examples:\n"
    "  macrovpn wireguard wg0 && wg setconf wg0 /etc/wireguard/wg0.conf\n"
    "  WG_QUICK_USERSPACE_IMPLEMENTATION=macrovpn-wireguard wg-quick up wg0\n\n"
    "Environment, as wireguard-go has it: WG_PROCESS_FOREGROUND=1 is -f; WG_TUN_FD and WG_UAPI_FD are "
    "descriptors to\n"
    "use; LOG_LEVEL is verbose, error (the default) or silent, and where it is set a background device keeps "
    "standard\n"
    "error.  MACROVPN_WIREGUARD_WORKERS is --workers, for wg-quick: so many threads share the peers, each its own; they need\n"
    "a TUN device that this program makes itself.";

constexpr const char* kWorkersVariable = "MACROVPN_WIREGUARD_WORKERS";

enum class Ground : uint8_t { foreground, background };

std::string variable(const char* name) {
  const char* v = std::getenv(name);
  return v != nullptr ? v : "";
}

LogLevel log_level() {
  const std::string level = variable("LOG_LEVEL");
  if (level == "verbose" || level == "debug") return LogLevel::verbose;
  return level == "silent" ? LogLevel::silent : LogLevel::error;
}

Result<void> check_name(const std::string& name) {
  const bool bad = name.empty() || name.size() >= IFNAMSIZ || name == "." || name == ".." ||
                   name.find_first_of("/: \t\n\v\f\r") != std::string::npos;
  if (bad)
    return fail("\"" + name +
                "\" cannot be the name of a network device: 1 to 15 characters, no space, '/' or ':'");
  return {};
}

// A descriptor that our parent left us, named by a variable; nothing if there is none.
Result<Fd> inherited(const char* name) {
  const std::string text = variable(name);
  if (text.empty()) return Fd();
  int fd = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
  if (error != std::errc() || end != text.data() + text.size() || fd < 3 || fcntl(fd, F_GETFD) < 0)
    return fail(std::string(name) + " is not the number of an open descriptor");
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return Fd(fd);
}

// What was said on the command line, else in the environment.
Result<unsigned> worker_count(std::optional<unsigned> said) {
  const std::string text = variable(kWorkersVariable);
  if (said || text.empty()) return said.value_or(1);
  unsigned n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < 1 || n > shell::kMaxWorkers)
    return fail(std::string(kWorkersVariable) + " must be a number from 1 to 16, and is \"" + text + "\"");
  return n;
}

using Queues = std::vector<shell::PacketDevice>;

Result<Queues> one_queue(shell::PacketDevice device) {
  Queues out;
  out.push_back(std::move(device));
  return out;
}

Result<Queues> adopt_device(Fd given) {
  fcntl(given.get(), F_SETFL, O_NONBLOCK | O_RDWR);
  auto device = shell::PacketDevice::decode(std::move(given), shell::PacketDevice(Fd(), {}).encode());
  if (!device) return fail("WG_TUN_FD: " + device.error().message);
  return one_queue(std::move(*device));
}

// As many queues as workers; one where the device was there already.
Result<Queues> open_device(const std::string& name, unsigned workers) {
  TRY(Fd given, inherited("WG_TUN_FD"));
  if (given) return adopt_device(std::move(given));
  TRY_VOID(check_name(name));
  Result<Queues> made = fail("");
  if (workers > 1) made = shell::PacketDevice::create_queues(name, workers);
  if (!made) {
    auto one = shell::PacketDevice::create(name, shell::PacketDevice::Kind::tun);
    if (!one)
      return fail(
          one.error().message +
          "; a device needs root, /dev/net/tun, and a name that no other device has (`ip link` lists them)");
    made = one_queue(std::move(*one));
  }
  const std::string name_now = shell::name_of_tun(made->front().fd());
  TRY_VOID(shell::set_mtu(name_now, shell::kDefaultMtu));
  shell::shorten_bursts(name_now);
  return made;
}

void say_if_fewer(unsigned wanted, size_t queues, const DeviceLog& log) {
  if (queues >= wanted) return;
  log.error("one worker and not " + std::to_string(wanted) +
            ": the packet device was there before, and several need one that this program makes itself");
}

Result<shell::UapiSocket> open_socket(const std::string& name) {
  TRY(Fd given, inherited("WG_UAPI_FD"));
  if (given) return shell::UapiSocket::adopt(std::move(given), shell::kUapiFolder, name);
  return shell::UapiSocket::open(shell::kUapiFolder, name, 500ms);
}

// The parent returns true: its work is done.  Device and socket are there already, so whoever calls next is
// answered.
Result<bool> go_to_background() {
  const pid_t child = fork();
  if (child < 0)
    return fail(std::string("cannot start a process in the background: ") + std::strerror(errno));
  if (child > 0) return true;
  setsid();
  const bool quiet = variable("LOG_LEVEL").empty() || log_level() == LogLevel::silent;
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  dup2(null.get(), STDIN_FILENO);
  if (quiet) dup2(null.get(), STDOUT_FILENO);
  if (quiet) dup2(null.get(), STDERR_FILENO);
  return false;
}

Fd stop_on_signals(shell::Reactor& reactor) {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGTERM, SIGINT}) sigaddset(&set, s);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  Fd signals(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  reactor.add(signals.get(), EPOLLIN, [&reactor](uint32_t) { reactor.stop(); });
  return signals;
}

Result<void> serve(Queues queues, shell::UapiSocket socket, const DeviceLog& log) {
  shell::Reactor reactor;
  const Fd signals = stop_on_signals(reactor);  // before there are threads, which must not get them
  const int tun_fd = queues.front().fd();
  shell::WireGuardDevice device(reactor, std::move(queues), log);
  device.start();
  device.on_gone([&] {
    log.verbose("the device was deleted");
    reactor.stop();
  });
  TRY(const auto watch,
      shell::LinkWatch::open(reactor, tun_fd, log, [&](const shell::Link& l) { device.set_link(l); }));
  const auto set = [&](std::string_view body) {
    const shell::uapi::SetRequest request = shell::uapi::parse_set(body);
    shell::uapi::Refusal refusal = device.apply(request.changes);
    if (refusal.number == 0) refusal = request.refusal;
    if (refusal.number != 0) log.error("a configuration was refused: " + refusal.why);
    return refusal.number;
  };
  socket.serve(reactor,
               {[&] { return shell::uapi::print(device.state()); },
                [&] { return shell::uapi::print(device.counters()); }, set},
               [&] {
                 log.verbose("the configuration socket was deleted");
                 reactor.stop();
               });
  reactor.run();
  socket.stop();  // first, so that another device may take the name
  return {};
}

Result<int> run(const std::string& wanted, Ground ground, std::optional<unsigned> said) {
  if (variable("WG_PROCESS_FOREGROUND") == "1") ground = Ground::foreground;
  TRY(const unsigned workers, worker_count(said));
  TRY(Queues queues, open_device(wanted, workers));
  const std::string name = shell::name_of_tun(queues.front().fd());  // "wg%d" became a number
  const DeviceLog log(name, log_level());
  say_if_fewer(workers, queues.size(), log);
  TRY(shell::UapiSocket socket, open_socket(name));
  if (ground == Ground::background) {
    TRY(const bool done, go_to_background());
    if (done) {
      socket.leave_to_child();
      return kDone;
    }
  }
  TRY_VOID(serve(std::move(queues), std::move(socket), log));
  return kDone;
}

int run_and_tell(const std::string& name, Ground ground, std::optional<unsigned> workers = {}) {
  const auto status = run(name, ground, workers);
  if (status) return *status;
  if (log_level() != LogLevel::silent)
    std::fprintf(stderr, "macrovpn-wireguard: %s\n", status.error().message.c_str());
  return kFailed;
}

}  // namespace

int run_as_wireguard(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words == std::vector<std::string>{"--version"}) {
    std::printf(
        "macrovpn-wireguard %s\n\nA WireGuard device in user space; `macrovpn wireguard --help` says more.\n",
        release().c_str());
    return kDone;
  }
  const bool foreground = !words.empty() && (words[0] == "-f" || words[0] == "--foreground");
  if (words.size() != (foreground ? 2 : 1) || words.back().starts_with("-")) {
    std::fprintf(stderr, "Usage: %s [-f/--foreground] INTERFACE-NAME\n", argv[0]);
    return kUsage;
  }
  return run_and_tell(words.back(), foreground ? Ground::foreground : Ground::background);
}

void add_wireguard(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("wireguard", "a plain WireGuard device, for wg and wg-quick");
  cmd->footer(kHelp);
  auto foreground = std::make_shared<bool>(false);
  auto name = std::make_shared<std::string>();
  auto workers = std::make_shared<std::optional<unsigned>>();
  cmd->add_flag("-f,--foreground", *foreground, "stay in the foreground");
  cmd->add_option("--workers", *workers, "share the peers among so many threads, by itself 1")
      ->check(CLI::Range(size_t{1}, shell::kMaxWorkers));
  cmd->add_option("INTERFACE", *name, "the name of the network device")->required();
  cmd->callback([&program, foreground, name, workers] {
    program.action = [foreground, name, workers]() -> Result<int> {
      return run_and_tell(*name, *foreground ? Ground::foreground : Ground::background, *workers);
    };
  });
}

}  // namespace macrovpn::app
