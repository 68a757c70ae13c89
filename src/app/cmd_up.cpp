#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/start_daemon.h"
#include "app/tunnel.h"
#include "core/node/config.h"
#include "shell/control/client.h"
#include "shell/control/service_manager.h"
#include "shell/namespace.h"
#include "shell/system/boot_files.h"
#include "shell/system/kill_switch.h"
#include "shell/system/system_vpn.h"

namespace macrovpn::app {
namespace {

using shell::control::Client;
using shell::control::NoDaemon;

struct UpFlags {
  NodeFlags node;
  bool foreground = false, at_boot = false;
  unsigned wait_seconds = 20;
};

constexpr const char* kNotRoot =
    "`macrovpn up` changes the network of the whole computer, so it needs root: `sudo macrovpn up`.  "
    "`macrovpn run -- "
    "PROGRAM` and `macrovpn proxy` need none";

// A computer that was open before stays so if it cannot be closed whole; one that was shut stays shut.
Result<void> bring_up(const Home& home, unsigned hops) {
  const auto switch_before = shell::system::look_at_kill_switch();
  if (!switch_before) return switch_before.failure();
  const bool was_open = !switch_before->loaded && !shell::system::is_wanted(home.paths);
  const auto up = shell::system::bring_up(home.paths, node::mtu_for(hops, IpFamily::v4));
  if (up) return {};
  if (was_open) shell::system::take_down(home.paths);
  return fail(up.error().message + (was_open ? "; nothing was changed" : "; the network stays blocked"));
}

// The daemon that runs, or a new one, which serves the device by itself.
Result<Client, NoDaemon> find_or_start_daemon(const Program& program, const UpFlags& f, const Home& home) {
  auto client = reach_daemon(home.paths.control_socket());
  if (client || client.error().why != NoDaemon::Why::not_running) return client;
  if (const auto started = start_daemon_for(program, f.node, home); !started)
    return Failure{NoDaemon{NoDaemon::Why::failed, started.error()}};
  return reach_daemon(home.paths.control_socket());
}

Result<void> serve_in_background(const Program& program, const UpFlags& f, const Home& home) {
  auto client = find_or_start_daemon(program, f, home);
  if (!client) return Failure{client.error().error};
  TRY_VOID(client->call("system.attach"));
  if (f.wait_seconds == 0) return {};
  std::string cause;
  TRY(const bool connected, wait_until_connected(*client, f.wait_seconds, cause));
  if (!connected) return fail(cause + "; see `macrovpn status` and `macrovpn descriptor list`");
  return {};
}

// A folder of its own is a lab's, which is not to change how the computer starts.
bool systemd_is_ours(const Program& program) {
  return !program.state_folder && std::filesystem::exists("/run/systemd/system");
}

Result<void> install_at_boot(const Program& program, const Home& home) {
  TRY(const auto files, shell::system::install_at_boot(home.paths));
  const bool systemd = systemd_is_ours(program);
  if (systemd) TRY_VOID(shell::run_tool({"systemctl", "enable", files.unit}, ""));
  std::printf(
      "From the next start of the computer on nothing leaves it before `macrovpn up`: %s\n",
      systemd
          ? "its rules are loaded before the network."
          : ("let your system load the rules before the network (nft -f " + files.rules + ").").c_str());
  return {};
}

// Protection does not hang on it, so a failure is only told.
void care_for_names_at_start(const Program& program, const Home& home) {
  if (!systemd_is_ours(program)) return;
  std::error_code error;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", error).string();
  const auto installed = shell::system::install_names_unit(shell::system::kSystemdFolder, self, home.paths);
  if (!installed)
    std::fprintf(stderr,
                 "macrovpn: should the computer be restarted while up, names will not resolve before `macrovpn up` or "
                 "`macrovpn down`: %s\n",
                 installed.error().message.c_str());
}

Result<int> up(const Program& program, const UpFlags& f) {
  if (geteuid() != 0) return complain({kNotRoot}, kFailed);
  TRY(const Home home, open_home_with(program, f.node));
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  TRY(DaemonOptions options, node_options(home, f.node));
  TRY_VOID(bring_up(home, options.hops));
  care_for_names_at_start(program, home);
  for (const std::string& line : shell::system::resolvers_to_know())
    std::fprintf(stderr, "macrovpn: %s\n", line.c_str());
  if (f.at_boot) TRY_VOID(install_at_boot(program, home));
  if (f.foreground) {
    shell::control::tell_service_manager("READY=1");
    options.roles.client = Roles::Client::on;
    return run_daemon(options);
  }
  if (const auto served = serve_in_background(program, f, home); !served)
    return complain(
        {"Blocked (kill switch): " + served.error().message + ".  `macrovpn down` opens the network"},
        kFailed);
  std::printf(f.wait_seconds == 0
                  ? "Blocked (kill switch) until there is a circuit: see `macrovpn status`.  `macrovpn down` opens the network.\n"
                  : "Protected: everything on this computer goes through the VPN.  `macrovpn down` ends it.\n");
  return kDone;
}

}  // namespace

void add_up(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("up", "the whole computer through the VPN, with a kill switch; needs root");
  cmd->footer(
      "Nothing leaves the computer but the tunnel, until `macrovpn down`: also while the daemon is dead, and "
      "while there "
      "is no\ncircuit.  Your own LAN cannot be reached meanwhile, and nobody outside can connect to you.\n"
      "Run it again after a crash; it completes what is there.\n"
      "Examples:\n  sudo macrovpn up\n  sudo macrovpn up --at-boot       closed from the start of the "
      "computer on");
  auto f = std::make_shared<UpFlags>();
  add_node_flags(*cmd, f->node);
  add_client_flags(*cmd, f->node);
  cmd->add_flag("--at-boot", f->at_boot,
                "load the kill switch also when the computer starts, before the network");
  cmd->add_flag("--foreground", f->foreground, "be the daemon instead of starting one; for service managers");
  cmd->add_option("--wait", f->wait_seconds, "wait for protection this many seconds; 0: not at all")
      ->capture_default_str();
  cmd->callback([&program, f] { program.action = [&program, f] { return up(program, *f); }; });
}

}  // namespace macrovpn::app
