#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/start_daemon.h"
#include "shell/clock.h"
#include "shell/config/atomic_file.h"
#include "shell/config/descriptor_folder.h"
#include "shell/config/key_store.h"
#include "shell/control/client.h"

namespace macrovpn::app {
namespace {

using nlohmann::json;
constexpr size_t kMaxDescriptor = 4096;

std::string flags_of(const RelayInfo& r) {
  std::string out;
  const auto add = [&](RelayFlag f, const char* name) {
    if (r.flags.has(f)) out += (out.empty() ? "" : ",") + std::string(name);
  };
  add(RelayFlag::guard, "guard");
  add(RelayFlag::middle, "middle");
  add(RelayFlag::exit, "exit");
  add(RelayFlag::exit_v4, "v4");
  add(RelayFlag::exit_v6, "v6");
  return out;
}

std::string region_of(const RelayInfo& r) {
  return r.region.known() ? std::string(r.region.code.begin(), r.region.code.end()) : "";
}

json json_of(const RelayInfo& r) {
  std::vector<std::string> endpoints;
  for (const Endpoint& e : r.endpoints) endpoints.push_back(e.reveal());
  return {{"id", to_hex(r.id.bytes)},
          {"wireguard", to_base64(r.wireguard.bytes)},
          {"flags", flags_of(r)},
          {"region", region_of(r)},
          {"as_number", r.as_number},
          {"bandwidth", r.bandwidth.bytes_per_second},
          {"family", r.family ? to_hex(r.family->bytes) : ""},
          {"endpoints", endpoints},
          {"has_prekey", r.prekey != PublicKey{}},
          {"signed_at", unix_seconds(r.signed_at)},
          {"expiry", unix_seconds(r.expiry)}};
}

void print_relay(const RelayInfo& r, Wall now) {
  const auto hours = std::chrono::floor<std::chrono::hours>(r.expiry - now).count();
  std::printf("%s  %-22s %-3s %6.1f MB/s  good for %lld h  %s\n", to_hex(r.id.bytes).c_str(),
              flags_of(r).c_str(), region_of(r).c_str(),
              static_cast<double>(r.bandwidth.bytes_per_second) / 1e6, static_cast<long long>(hours),
              r.endpoints[0].reveal().c_str());
}

Result<shell::DescriptorFolder> open_folder(const Home& home) {
  TRY(const Network network, open_network(home));
  return shell::DescriptorFolder(home.descriptor_folder(), network.id);
}

Result<int> list(const Program& program, bool as_json) {
  TRY(const Home home, open_home(program));
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  TRY(shell::DescriptorFolder folder, open_folder(home));
  const Wall now = shell::read_clocks().wall;
  TRY(const auto changes, folder.scan(now));
  json out{{"relays", json::array()}, {"refused", json::array()}};
  for (const RelayInfo& r : changes.found) {
    out["relays"].push_back(json_of(r));
    if (!as_json) print_relay(r, now);
  }
  for (const auto& bad : changes.refused) {
    out["refused"].push_back({{"file", bad.file}, {"why", bad.why.message}});
    if (!as_json) std::printf("refused %s: %s\n", bad.file.c_str(), bad.why.message.c_str());
  }
  if (as_json)
    print_json(out);
  else
    std::printf("%zu relays known, %zu files refused.\n", changes.found.size(), changes.refused.size());
  return kDone;
}

Result<int> add(const Program& program, const std::vector<std::string>& files) {
  TRY(const Home home, open_home(program));
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  TRY(const shell::DescriptorFolder folder, open_folder(home));
  int status = kDone;
  for (const std::string& file : files) {
    const auto bytes = shell::read_file(file == "-" ? "/dev/stdin" : file, kMaxDescriptor);
    const auto relay =
        bytes ? folder.add(*bytes, shell::read_clocks().wall) : Result<RelayInfo>(bytes.failure());
    if (relay)
      std::printf("Added relay %s.\n", to_hex(relay->id.bytes).c_str());
    else
      status = complain({file + ": " + relay.error().message}, kFailed);
  }
  // A daemon that runs looks by itself within seconds; this is only sooner.
  if (auto daemon = reach_daemon(home.paths.control_socket()))
    static_cast<void>(daemon->call("descriptor.reload").ok());
  return status;
}

Result<int> export_own(const Program& program, const std::string& file) {
  TRY(const Home home, open_home(program));
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  TRY(const shell::DescriptorFolder folder, open_folder(home));
  TRY(const shell::Keys keys, shell::load_keys(home.paths.key_file()));
  const auto own = folder.read(discovery::peer_id_of(keys.identity.pub));
  if (!own) return fail("there is no descriptor of this node yet: start `macrovpn relay`, which writes it");
  if (!file.empty() && file != "-") {
    TRY_VOID(shell::write_file(file, *own, shell::FileMode::readable));
    return kDone;
  }
  if (isatty(1) != 0) return fail("a descriptor is binary: give a FILE, or redirect the output");
  return std::fwrite(own->data(), 1, own->size(), stdout) == own->size() ? kDone : kFailed;
}

}  // namespace

void add_descriptor(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("descriptor", "the relays that you know, as signed files");
  cmd->footer(
      "Examples:\n  macrovpn descriptor export mine.descriptor      on a relay\n  macrovpn descriptor add "
      "mine.descriptor         where it shall be known\n  macrovpn descriptor list");
  cmd->require_subcommand(1);
  auto file = std::make_shared<std::string>();
  auto files = std::make_shared<std::vector<std::string>>();
  auto as_json = std::make_shared<bool>(false);

  auto* out = cmd->add_subcommand("export", "write this relay's own descriptor");
  out->add_option("FILE", *file, "where to; standard output if absent");
  out->callback(
      [&program, file] { program.action = [&program, file] { return export_own(program, *file); }; });

  auto* in = cmd->add_subcommand("add", "learn relays; each is verified first");
  in->add_option("FILE", *files, "descriptors; - for standard input")->required();
  in->callback([&program, files] { program.action = [&program, files] { return add(program, *files); }; });

  auto* all = cmd->add_subcommand("list", "verify and show all that are known");
  all->add_flag("--json", *as_json, "for programs");
  all->callback(
      [&program, as_json] { program.action = [&program, as_json] { return list(program, *as_json); }; });
}

}  // namespace macrovpn::app
