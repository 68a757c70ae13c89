#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/start_daemon.h"
#include "app/tunnel.h"
#include "shell/box/supervisor.h"

namespace macrovpn::app {
namespace {

constexpr int kBoxFailed = 125, kNotExecutable = 126, kNotFound = 127;

struct RunFlags : TunnelFlags {
  std::string group = "run-" + std::to_string(getpid());
  std::vector<std::string> program;
};

Result<shell::BoxOptions> box_options(const Home& home, const RunFlags& f) {
  shell::BoxOptions o;
  o.argv = f.program;
  o.hidden_folders = {home.paths.runtime};
  o.mtu = inside_mtu(home, f.node);
  TRY(o.device, chosen_device(f));
  return o;
}

Result<int> run(const Program& program, const RunFlags& f) {
  if (f.program.empty()) return complain({"say which program to run: macrovpn run -- PROGRAM"}, kUsage);
  TRY(const Home home, open_home_with(program, f.node));
  TRY_VOID(check_flags_while_up(f.node));
  if (!has_network(home) && !computer_is_up()) return complain({kNoNetworkYet}, kNoNetwork);
  TRY(const shell::BoxOptions options, box_options(home, f));
  TRY(shell::Box box, shell::Box::create(options));
  shell::Attachment attachment(daemon_socket(home), f.group, box.device());
  bool started_daemon = false;
  TRY_VOID(attach_or_start(attachment, [&] {
    started_daemon = true;
    return start_daemon_for(program, f.node, home);
  }));
  if (f.wait_seconds != 0) {
    std::string cause;
    TRY(const bool connected, wait_until_connected(attachment.client(), f.wait_seconds, cause));
    if (!connected) {
      // What was started for this program only is not left behind.
      if (started_daemon) static_cast<void>(stop_daemon(attachment.client(), home.paths.control_socket()));
      return fail("Not protected: " + cause +
                  "; the program was not started.  See `macrovpn status` and `macrovpn descriptor list`");
    }
  }
  TRY(const shell::Fd signals, shell::catch_signals());
  if (const auto started = box.start(); !started) {
    complain({f.program[0] + ": " + started.error().message}, kFailed);
    return box.exec_errno() == ENOENT ? kNotFound : kNotExecutable;
  }
  return shell::supervise(box, attachment, signals);
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
  add_tunnel_flags(*cmd, *f);
  cmd->add_option("--group", f->group, "what `status` and `hop` call this program; each has a circuit of its own")
      ->check(CLI::Validator(
          [](std::string& s) {
            return s.empty() || s.size() > 64 ? std::string("must have 1 to 64 characters") : std::string();
          },
          "NAME"));
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
