#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/node_options.h"
#include "app/start_daemon.h"
#include "shell/control/client.h"

namespace macrovpn::app {
namespace {

Result<int> run(const Program& program, const NodeFlags& flags) {
  TRY(const Home home, open_home_with(program, flags));
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  TRY(DaemonOptions options, node_options(home, flags));
  options.roles.client = Roles::Client::on;
  return run_daemon(options);
}

Result<int> stop(const Program& program) {
  TRY(const Home home, open_home(program));
  auto client = reach_daemon(home.paths.control_socket());
  if (!client)
    return complain(client.error().error,
                    client.error().why == shell::control::NoDaemon::Why::not_running ? kNoDaemon : kFailed);
  TRY_VOID(stop_daemon(*client, home.paths.control_socket()));
  return kDone;
}

}  // namespace

void add_daemon(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("daemon", "keep circuits ready for programs (`run` starts one by itself)");
  cmd->footer(
      "Runs in the foreground until ^C or `macrovpn daemon --stop`.  It carries nothing for others.\n"
      "Examples:\n  macrovpn daemon\n  macrovpn daemon --mode balanced");
  auto flags = std::make_shared<NodeFlags>();
  auto end = std::make_shared<bool>(false);
  add_node_flags(*cmd, *flags);
  add_client_flags(*cmd, *flags);
  cmd->add_flag("--stop", *end, "end the one that runs");
  cmd->callback([&program, flags, end] {
    program.action = [&program, flags, end] { return *end ? stop(program) : run(program, *flags); };
  });
}

}  // namespace macrovpn::app
