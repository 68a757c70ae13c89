#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/node_options.h"
#include "app/start_daemon.h"
#include "shell/box/supervisor.h"
#include "shell/clock.h"

namespace macrovpn::app {
namespace {

using shell::control::NoDaemon;
constexpr int kBoxFailed = 125, kNotExecutable = 126, kNotFound = 127;
constexpr Duration kSayConnectingAfter = std::chrono::seconds(1);
constexpr unsigned kTunnelOverhead = 32, kOuterHeaders = 28, kLink = 1500;

struct RunFlags {
  NodeFlags node;
  std::string group = "run-" + std::to_string(getpid()), device;
  unsigned wait_seconds = 20;
  std::vector<std::string> program;
};

std::vector<std::string> daemon_arguments(const Program& program, const NodeFlags& f) {
  std::vector<std::string> out;
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) out.insert(out.end(), {flag, value});
  };
  if (program.state_folder) add("--state", std::filesystem::absolute(*program.state_folder).string());
  out.push_back("daemon");
  if (!f.network.empty()) add("--network", std::filesystem::absolute(f.network).string());
  if (!f.descriptors.empty()) add("--descriptors", std::filesystem::absolute(f.descriptors).string());
  add("--mode", f.mode);
  if (f.hops != 0) add("--hops", std::to_string(f.hops));
  if (f.hop_by_hop) out.push_back("--hop-by-hop");
  std::string path;
  for (const std::string& id : f.path) path += (path.empty() ? "" : ",") + id;
  add("--path", path);
  return out;
}

// Attaches to the daemon that runs, or to a new one.
Result<void> attach(const Program& program, const RunFlags& f, const Home& home,
                    shell::Attachment& attachment) {
  const auto first = attachment.attach();
  if (first) return {};
  if (first.error().why != NoDaemon::Why::not_running) return Failure{first.error().error};
  TRY_VOID(start_daemon(daemon_arguments(program, f.node), home.paths.control_socket()));
  std::fprintf(stderr,
               "macrovpn: no daemon was running, so one was started in the background (`macrovpn daemon "
               "--stop` ends it)\n");
  const auto second = attachment.attach();
  if (!second) return Failure{second.error().error};
  return {};
}

// A program that starts before there is a circuit would meet lost packets and give up.
Result<void> wait_until_connected(shell::control::Client& daemon, unsigned seconds) {
  const Mono start = shell::read_clocks().mono;
  bool said = false;
  for (;;) {
    TRY(const nlohmann::json status, daemon.call("status"));
    if (status.value("state", "") == "connected") return {};
    const Duration waited = shell::read_clocks().mono - start;
    if (waited > std::chrono::seconds(seconds)) {
      const std::string cause = status.value("cause", "no circuit could be built");
      return fail("Not protected: " + cause +
                  "; the program was not started.  See `macrovpn status` and `macrovpn descriptor list`");
    }
    if (waited > kSayConnectingAfter && !said)
      std::fprintf(stderr, "macrovpn: connecting ...\n"), said = true;
    usleep(10'000);
  }
}

unsigned mtu_for(unsigned hops) {
  return (kLink - kOuterHeaders - kTunnelOverhead * hops) / 16 * 16;
}

Result<shell::BoxOptions> box_options(const Home& home, const RunFlags& f) {
  shell::BoxOptions o;
  o.argv = f.program;
  o.hidden_folders = {home.paths.runtime};
  o.mtu =
      mtu_for(f.node.path.empty() ? home.settings.hop_count() : static_cast<unsigned>(f.node.path.size()));
  if (f.device == "tun")
    o.device = shell::PacketDevice::Kind::tun;
  else if (f.device == "veth")
    o.device = shell::PacketDevice::Kind::veth;
  else if (!f.device.empty())
    return fail("--device must be tun or veth");
  return o;
}

Result<int> run(const Program& program, const RunFlags& f) {
  if (f.program.empty()) return complain({"say which program to run: macrovpn run -- PROGRAM"}, kUsage);
  TRY(const Home home, open_home_with(program, f.node));
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  TRY(const shell::BoxOptions options, box_options(home, f));
  TRY(shell::Box box, shell::Box::create(options));
  shell::Attachment attachment(home.paths.control_socket(), f.group, box.device());
  TRY_VOID(attach(program, f, home, attachment));
  if (f.wait_seconds != 0) TRY_VOID(wait_until_connected(attachment.client(), f.wait_seconds));
  if (const auto started = box.start(); !started) {
    complain({f.program[0] + ": " + started.error().message}, kFailed);
    return box.exec_errno() == ENOENT ? kNotFound : kNotExecutable;
  }
  return shell::supervise(box, attachment);
}

}  // namespace

void add_run(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("run", "run one program through the VPN, without root; it cannot leak");
  cmd->footer(
      "The program gets a private network whose only way out is the tunnel; its DNS goes through it too.  It "
      "keeps your\n"
      "user, files and terminal.  If the daemon dies, the program has no network until one runs again.\n"
      "Status: the program's own; 128 + N if signal N ended it; 125 no box, 126 not executable, 127 not "
      "found.\n"
      "Examples:\n  macrovpn run -- curl https://example.org"
      "\n  macrovpn run --mode fast -- bash");
  auto f = std::make_shared<RunFlags>();
  add_node_flags(*cmd, f->node);
  add_client_flags(*cmd, f->node);
  cmd->add_option("--group", f->group, "what `status` and `hop` call this program; each has a circuit of its own")
      ->check(CLI::Validator(
          [](std::string& s) {
            return s.empty() || s.size() > 64 ? std::string("must have 1 to 64 characters") : std::string();
          },
          "NAME"));
  cmd->add_option("--device", f->device, "tun or veth; by itself a TUN where that can be had")
      ->type_name("KIND");
  cmd->add_option("--wait", f->wait_seconds,
                  "start the program once protected, or fail after these seconds; 0: at once")
      ->capture_default_str();
  cmd->prefix_command();
  cmd->callback([&program, f, cmd] {
    f->program = cmd->remaining();
    f->program.insert(f->program.end(), program.tail.begin(), program.tail.end());
    program.action = [&program, f]() -> Result<int> {
      auto status = run(program, *f);
      return status ? status : complain(status.error(), static_cast<Status>(kBoxFailed));
    };
  });
}

}  // namespace macrovpn::app
