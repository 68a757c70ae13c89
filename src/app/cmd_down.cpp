#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/start_daemon.h"
#include "app/system_status.h"
#include "shell/control/client.h"
#include "shell/namespace.h"
#include "shell/system/boot_files.h"
#include "shell/system/system_vpn.h"

namespace macrovpn::app {
namespace {

struct DownFlags {
  bool at_boot = false, after_restart = false;
};

// The device is gone already, and with it the work of the daemon; one that does not answer is left alone.
void end_daemon(const Home& home) {
  auto client = reach_daemon(home.paths.control_socket());
  if (!client) return;
  const auto detached = client->call("system.detach");
  if (!detached || detached->value("needed", true)) return;
  if (const auto stopped = stop_daemon(*client, home.paths.control_socket()); !stopped)
    std::fprintf(stderr, "macrovpn: %s\n", stopped.error().message.c_str());
  else
    std::printf("stopped    the daemon\n");
}

Result<size_t> remove_at_boot(const Program& program, const Home& home) {
  TRY(const auto gone, shell::system::remove_at_boot(home.paths));
  for (const std::string& file : gone) std::printf("removed    %s\n", file.c_str());
  if (!gone.empty() && !program.state_folder && std::filesystem::exists("/run/systemd/system"))
    TRY_VOID(shell::run_tool({"systemctl", "disable", "macrovpn-kill-switch.service"}, ""));
  return gone.size();
}

Result<size_t> remove_names_unit(const Program& program) {
  if (program.state_folder) return size_t{0};
  TRY(const bool gone, shell::system::remove_names_unit(shell::system::kSystemdFolder));
  if (gone) std::printf("removed    what would give /etc/resolv.conf back after a restart\n");
  return size_t{gone};
}

Result<int> down(const Program& program, const DownFlags& f) {
  if (geteuid() != 0)
    return complain(
        {"`macrovpn down` changes the network of the whole computer, so it needs root: `sudo macrovpn down`"},
        kFailed);
  TRY(const Home home, open_home(program));
  if (f.after_restart) {
    give_back_names_after_restart(home.paths);
    return kDone;
  }
  const auto removed = shell::system::take_down(home.paths);
  for (const std::string& line : removed.lines) std::printf("%s\n", line.c_str());
  std::fflush(stdout);
  size_t files = 0;
  if (f.at_boot) {
    TRY(files, remove_at_boot(program, home));
  }
  if (!removed.outcome)
    return fail(removed.outcome.error().message + "; what is left stays blocked.  Run `macrovpn down` again");
  TRY(const size_t units, remove_names_unit(program));
  end_daemon(home);
  if (removed.lines.empty() && files + units == 0) std::printf("Nothing was up.\n");
  return kDone;
}

}  // namespace

void add_down(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("down", "end `macrovpn up`: the computer uses its network directly again");
  cmd->footer(
      "Says what it removed, line by line.  Works without a daemon, and may be run twice.  A kill switch "
      "that was "
      "installed with\n`up --at-boot` comes back at the next start unless --at-boot is given here too.");
  auto f = std::make_shared<DownFlags>();
  auto* at_boot = cmd->add_flag("--at-boot", f->at_boot, "remove also what `up --at-boot` has installed");
  cmd->add_flag("--after-restart", f->after_restart,
                "only give /etc/resolv.conf back, and only if the computer was restarted while up; for its start")
      ->excludes(at_boot);
  cmd->callback([&program, f] { program.action = [&program, f] { return down(program, *f); }; });
}

}  // namespace macrovpn::app
