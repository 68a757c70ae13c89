#include "app/tunnel.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/start_daemon.h"
#include "shell/clock.h"
#include "shell/system/names.h"
#include "shell/system/routes.h"

namespace macrovpn::app {
namespace {

using shell::control::NoDaemon;
constexpr Duration kSayConnectingAfter = std::chrono::seconds(1);
constexpr unsigned kTunnelOverhead = 32, kOuterHeaders = 28, kLink = 1500;

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

}  // namespace

void add_tunnel_flags(CLI::App& cmd, TunnelFlags& f) {
  add_node_flags(cmd, f.node);
  add_client_flags(cmd, f.node);
  cmd.add_option("--device", f.device, "tun or veth; by itself a TUN where that can be had")
      ->type_name("KIND");
}

Result<std::optional<shell::PacketDevice::Kind>> chosen_device(const TunnelFlags& f) {
  using Kind = shell::PacketDevice::Kind;
  if (f.device.empty()) return std::optional<Kind>();
  if (f.device == "tun") return std::optional(Kind::tun);
  if (f.device == "veth") return std::optional(Kind::veth);
  return fail("--device must be tun or veth");
}

unsigned inside_mtu(const Home& home, const NodeFlags& f) {
  const unsigned hops = f.path.empty() ? home.settings.hop_count() : static_cast<unsigned>(f.path.size());
  return (kLink - kOuterHeaders - kTunnelOverhead * hops) / 16 * 16;
}

bool computer_is_up() {
  return shell::system::device_exists();
}

std::string daemon_socket(const Home& home) {
  return computer_is_up() ? std::string("@") + shell::system::kDoor : home.paths.control_socket();
}

Result<void> check_flags_while_up(const NodeFlags& f) {
  const bool chosen =
      f.hops != 0 || !f.mode.empty() || !f.path.empty() || !f.network.empty() || !f.descriptors.empty();
  if (!computer_is_up() || !chosen) return {};
  return fail(
      "the whole computer is behind `macrovpn up`, whose daemon makes the circuits: leave out --mode, "
      "--hops, --path, "
      "--network and --descriptors, or end it with `sudo macrovpn down`");
}

Result<void> start_daemon_for(const Program& program, const NodeFlags& f, const Home& home) {
  if (computer_is_up() && geteuid() != 0)
    return fail(
        "the whole computer is behind `macrovpn up`, but its daemon is not running: `sudo macrovpn up` "
        "starts it again");
  TRY_VOID(start_daemon(daemon_arguments(program, f), home.paths.control_socket()));
  std::fprintf(stderr,
               "macrovpn: no daemon was running, so one was started in the background (`macrovpn daemon "
               "--stop` ends it)\n");
  return {};
}

Result<void> attach_or_start(shell::Attachment& attachment, const std::function<Result<void>()>& start) {
  const auto first = attachment.attach(patience_of_a_person());
  if (first) return {};
  if (first.error().why != NoDaemon::Why::not_running) return Failure{first.error().error};
  TRY_VOID(start());
  const auto second = attachment.attach(patience_of_a_person());
  if (!second) return Failure{second.error().error};
  return {};
}

Result<bool> wait_until_connected(shell::control::Client& daemon, unsigned seconds, std::string& cause) {
  const Mono start = shell::read_clocks().mono;
  bool said = false;
  std::string said_finding;
  for (;;) {
    TRY(const nlohmann::json status, daemon.call("status"));
    if (status.value("state", "") == "connected") return true;
    const Duration waited = shell::read_clocks().mono - start;
    if (waited > std::chrono::seconds(seconds)) {
      cause = status.value("cause", "no circuit could be built");
      return false;
    }
    const std::string finding = status.value("directory", nlohmann::json::object()).value("progress", "");
    if (finding != said_finding && !finding.empty()) std::fprintf(stderr, "macrovpn: %s\n", finding.c_str());
    said_finding = finding;
    if (waited > kSayConnectingAfter && !said && finding.empty())
      std::fprintf(stderr, "macrovpn: connecting ...\n"), said = true;
    usleep(10'000);
  }
}

}  // namespace macrovpn::app
