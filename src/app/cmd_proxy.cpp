#include <sys/resource.h>
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/tunnel.h"
#include "shell/clock.h"
#include "shell/exit/socket_address.h"
#include "shell/proxy/proxy.h"

namespace macrovpn::app {
namespace {

constexpr const char* kDefaultListen[] = {"127.0.0.1:1080", "[::1]:1080"};
constexpr rlim_t kDescriptors = 8192;

struct ProxyFlags : TunnelFlags {
  std::vector<std::string> listen;
  bool json = false;
};

// Made where the programs are, before the process moves into the private network.
struct HostSide {
  std::vector<shell::Fd> listeners;
  std::vector<std::string> addresses;  // as they are shown
  shell::PeerOwner owner;
  shell::HostHelper helper;
};

// Without --listen, IPv6 is done without where the computer has none.
Result<void> open_listeners(const ProxyFlags& f, std::vector<shell::Fd>& out) {
  for (const std::string& text : f.listen) {
    const auto at = shell::parse_listen_address(text);
    if (!at) return fail("--listen needs an address and a port, such as 127.0.0.1:1080 or [::1]:1080");
    TRY(shell::Fd fd, shell::listen_on_loopback(*at));
    out.push_back(std::move(fd));
  }
  if (!f.listen.empty()) return {};
  TRY(shell::Fd v4, shell::listen_on_loopback(*Endpoint::parse(kDefaultListen[0])));
  out.push_back(std::move(v4));
  auto v6 = shell::listen_on_loopback(*Endpoint::parse(kDefaultListen[1]));
  if (!v6 && errno == EADDRINUSE) return v6.failure();
  if (v6) out.push_back(std::move(*v6));
  return {};
}

// Root's daemon is the one behind the door, and takes more from root's own programs.
std::string own_or_door(const Home& home) {
  return geteuid() == 0 ? home.paths.control_socket() : daemon_socket(home);
}

Result<HostSide> make_host_side(const Program& program, const ProxyFlags& f, const Home& home) {
  std::vector<shell::Fd> listeners;
  TRY_VOID(open_listeners(f, listeners));
  TRY(shell::PeerOwner owner, shell::PeerOwner::open());
  TRY(shell::HostHelper helper,
      shell::HostHelper::start({[&] { return start_daemon_for(program, f.node, home); },
                                [&] { return shell::control::Client::dial(own_or_door(home)); }}));
  std::vector<std::string> addresses;
  for (const shell::Fd& l : listeners)
    if (const auto at = shell::local_of(l.get())) addresses.push_back(at->reveal());
  return HostSide{std::move(listeners), std::move(addresses), std::move(owner), std::move(helper)};
}

// The process moves: from here on every socket that it makes is inside.
Result<shell::PacketDevice> move_inside(const Home& home, const ProxyFlags& f) {
  shell::InsideNetwork network{inside_mtu(home, f.node), {}, shell::Sources::groups};
  TRY(network.device, chosen_device(f));
  TRY_VOID(shell::enter_namespaces(shell::Mounts::inherited));
  TRY(shell::PacketDevice device, shell::make_inside_network(network));
  if (!shell::drop_capabilities())
    return fail("cannot give up the rights over the private network; try again");
  return device;
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kDescriptors) return;
  limit.rlim_cur = std::min(limit.rlim_max, kDescriptors);
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Keeps the device with whichever daemon runs, in the reactor.
class Lifeline {
 public:
  Lifeline(shell::Reactor& reactor, shell::Attachment& attachment, std::function<void()> on_attached)
      : reactor_(reactor), attachment_(attachment), on_attached_(std::move(on_attached)) {
    watch();
  }
  bool is_up() const { return attachment_.fd() >= 0; }

 private:
  void watch() {
    reactor_.add(attachment_.fd(), EPOLLIN, [this, fd = attachment_.fd()](uint32_t) {
      reactor_.remove(fd);  // it may be closed now
      attachment_.on_readable(reactor_.now().mono);
      if (is_up()) return watch();
      std::fprintf(
          stderr, "macrovpn: the daemon has ended; nothing goes out until one runs again: macrovpn daemon\n");
      retry_later();
    });
  }
  void retry_later() {
    reactor_.at(attachment_.next_retry(), [this] {
      if (!attachment_.retry(reactor_.now().mono)) return retry_later();
      std::fprintf(stderr, "macrovpn: a daemon runs again\n");
      on_attached_();
      watch();
    });
  }
  shell::Reactor& reactor_;
  shell::Attachment& attachment_;
  std::function<void()> on_attached_;
};

void say_ready(const std::vector<std::string>& addresses, bool as_json) {
  if (as_json) {
    std::printf("%s\n", nlohmann::json{{"socks5", addresses}, {"http", addresses}}.dump().c_str());
  } else {
    std::string list;
    for (const std::string& a : addresses) list += (list.empty() ? "" : " and ") + a;
    std::printf("SOCKS5 and HTTP on %s\n", list.c_str());
  }
  std::fflush(stdout);
}

void say_end(const shell::ProxyCounters& c) {
  std::fprintf(stderr, "macrovpn: the proxy ends: %llu connections made, %llu of other users refused\n",
               static_cast<unsigned long long>(c.connected), static_cast<unsigned long long>(c.not_ours));
}

shell::Fd stop_on_signals(shell::Reactor& reactor) {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, s);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  shell::Fd signals(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  reactor.add(signals.get(), EPOLLIN, [&reactor](uint32_t) { reactor.stop(); });
  return signals;
}

int serve(HostSide& host, shell::Attachment& attachment, bool as_json) {
  shell::Reactor reactor;
  shell::OsRng rng;
  const shell::Fd signals = stop_on_signals(reactor);
  shell::ProxyContext context{{reactor, rng}, std::move(host.owner), [&host](const IpAddress& loopback) {
                                return host.helper.udp_socket(loopback);
                              }};
  const auto take_names = [&] { context.groups.take_at_most(attachment.most_groups()); };
  take_names();
  Lifeline lifeline(reactor, attachment, take_names);
  context.is_up = [&lifeline] { return lifeline.is_up(); };
  const shell::Proxy proxy(context, std::move(host.listeners));
  say_ready(host.addresses, as_json);
  reactor.run();
  say_end(context.counters);
  return kDone;
}

Result<int> run(const Program& program, const ProxyFlags& f) {
  TRY(const Home home, open_home_with(program, f.node));
  TRY_VOID(check_flags_while_up(f.node));
  if (!has_network(home) && !computer_is_up()) return complain({kNoNetworkYet}, kNoNetwork);
  raise_descriptor_limit();
  TRY(HostSide host, make_host_side(program, f, home));
  TRY(const shell::PacketDevice device, move_inside(home, f));
  const auto connect = [&host](shell::control::Patience patience) -> Result<shell::control::Client, shell::control::NoDaemon> {
    TRY(shell::Fd connected, host.helper.dial_daemon());
    return shell::control::Client::greet(std::move(connected), shell::control::Client::Events::none, std::move(patience));
  };
  shell::Attachment attachment(connect, "proxy-" + std::to_string(getpid()), device, shell::Sources::groups);
  TRY_VOID(attach_or_start(attachment, [&host] { return host.helper.start_daemon(); }));
  if (f.wait_seconds != 0) {
    std::string cause;
    TRY(const bool connected, wait_until_connected(attachment.client(), f.wait_seconds, cause));
    if (!connected)
      std::fprintf(stderr, "macrovpn: Not protected yet: %s; connections wait.  See `macrovpn status`\n",
                   cause.c_str());
  }
  return serve(host, attachment, f.json);
}

constexpr const char* kHelp =
    "Each port speaks SOCKS5 (TCP and UDP) and HTTP (CONNECT and http:// addresses).  Names are looked up at "
    "the "
    "exit, not\nhere.  Only programs of your own user get in.  If the daemon dies, nothing goes out until "
    "one runs "
    "again.\n"
    "\n"
    "A user name chooses a group: each name has a circuit and an exit address of its own, and sites cannot "
    "link\n"
    "two of them by address.  Any name will do; the password is ignored.  A name is forgotten after 11 idle "
    "minutes, and at most 192 are in use at once (15 while the computer is behind `macrovpn up` of another user).\n"
    "\n"
    "Examples:\n"
    "  macrovpn proxy\n"
    "  curl --proxy socks5h://127.0.0.1:1080 https://example.org\n"
    "  curl --proxy socks5h://work:x@127.0.0.1:1080 https://example.org     in a group called work\n"
    "  export https_proxy=http://127.0.0.1:1080 http_proxy=http://127.0.0.1:1080\n"
    "  git -c http.proxy=socks5h://127.0.0.1:1080 clone https://example.org/a.git\n"
    "  ssh -o 'ProxyCommand=ncat --proxy 127.0.0.1:1080 --proxy-type socks5 --proxy-dns remote %h %p' "
    "example.org\n"
    "  chromium --proxy-server=socks5://127.0.0.1:1080\n"
    "  Firefox: Settings, Network Settings, Manual: SOCKS Host 127.0.0.1, Port 1080, SOCKS v5, Proxy DNS\n"
    "A program may ignore a proxy, or do without it for some traffic (WebRTC in browsers); one that must not "
    "leak "
    "is run by\n`macrovpn run`.";

}  // namespace

void add_proxy(CLI::App& app, Program& program) {
  auto* cmd =
      app.add_subcommand("proxy", "a SOCKS5 and HTTP proxy into the VPN, for programs that can use one");
  cmd->footer(kHelp);
  auto f = std::make_shared<ProxyFlags>();
  cmd->add_option("--listen", f->listen,
                  "a loopback address and port; may be given again.  Without: 127.0.0.1:1080 and [::1]:1080")
      ->type_name("ADDR:PORT");
  cmd->add_flag("--json", f->json, "say in JSON where it listens");
  add_tunnel_flags(*cmd, *f);
  cmd->add_option("--wait", f->wait_seconds, "seconds to wait for protection before it is said to be ready")
      ->capture_default_str();
  cmd->callback([&program, f] { program.action = [&program, f] { return run(program, *f); }; });
}

}  // namespace macrovpn::app
