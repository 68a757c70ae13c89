#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/start_daemon.h"
#include "shell/box/box.h"
#include "shell/config/key_store.h"
#include "shell/control/client.h"
#include "shell/namespace.h"

namespace macrovpn::app {
namespace {

struct Check {
  const char* what;
  Result<std::string> found;
};

Result<std::string> check_box() {
  TRY(shell::Box box, shell::Box::create({{"true"}, {}, 1376, {}}));
  TRY_VOID(box.start());
  int status = 0;
  waitpid(box.pid(), &status, 0);
  if (status != 0)
    return fail("a program in a box did not run; the system may be out of processes or memory");
  return std::string(box.device().kind() == shell::PacketDevice::Kind::tun ? "works, with a TUN device"
                                                                           : "works, with a veth device");
}

Result<std::string> check_tool(const std::string& name, const std::string& package) {
  if (shell::run_tool({name, "-V"}, "").ok()) return std::string("installed");
  return fail("the program '" + name + "' is missing: install " + package);
}

Result<std::string> check_network(const Home& home) {
  TRY(const Network n, open_network(home));
  return "\"" + n.name + "\"" + (n.is_lab() ? ", a lab" : "");
}

Result<std::string> check_keys(const Home& home) {
  if (access(home.paths.key_file().c_str(), F_OK) != 0)
    return std::string("none yet; they are made on first use");
  TRY_VOID(shell::load_keys(home.paths.key_file()));
  return std::string("good");
}

Result<std::string> check_daemon(const Home& home) {
  const auto client = reach_daemon(home.paths.control_socket());
  if (client) return std::string("running");
  if (client.error().why == shell::control::NoDaemon::Why::not_running)
    return std::string("not running; `run` starts one");
  return Failure{client.error().error};
}

Result<int> examine(const Program& program, bool json) {
  TRY(const Home home, open_home(program));
  const Check checks[] = {{"private network", check_box()},
                          {"ip", check_tool("ip", "iproute2")},
                          {"nft (for exits)", check_tool("nft", "nftables")},
                          {"network", check_network(home)},
                          {"keys", check_keys(home)},
                          {"daemon", check_daemon(home)}};
  nlohmann::json out = nlohmann::json::array();
  bool good = true;
  for (const Check& c : checks) {
    const std::string& text = c.found ? *c.found : c.found.error().message;
    good = good && c.found.ok();
    out.push_back({{"check", c.what}, {"ok", c.found.ok()}, {"text", text}});
    if (!json) std::printf("%-7s  %-16s  %s\n", c.found ? "ok" : "PROBLEM", c.what, text.c_str());
  }
  if (json) print_json(out);
  return good ? kDone : kFailed;
}

}  // namespace

void add_doctor(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("doctor", "find out what is missing on this computer");
  auto json = std::make_shared<bool>(false);
  cmd->add_flag("--json", *json, "for programs");
  cmd->callback([&program, json] { program.action = [&program, json] { return examine(program, *json); }; });
}

}  // namespace macrovpn::app
