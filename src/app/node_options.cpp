#include "app/node_options.h"

#include <CLI/CLI.hpp>

#include "shell/clock.h"
#include "shell/config/descriptor_folder.h"
#include "shell/store/directory_store.h"

namespace macrovpn::app {
namespace {

Result<PeerId> parse_relay_id(const std::string& text) {
  const auto bytes = from_hex(text);
  const auto id = bytes ? to_array<20>(*bytes) : std::nullopt;
  if (!id) return fail("--path needs relay ids of 40 hexadecimal digits; see `macrovpn descriptor list`");
  return PeerId{*id};
}

bool is_in_store(const PeerId& id, const DaemonOptions& o) {
  if (!o.settings.live_directory) return false;
  const Wall now = shell::read_clocks().wall;
  shell::DirectoryStore store(o.paths.directory_file(), o.network, [](const std::string&) {}, shell::DirectoryStore::Access::look);
  store.load(now);
  const auto it = store.relays().find(id);
  return it != store.relays().end() && !it->second.entry->convicted() && shell::is_living(*it->second.entry, now);
}

Result<void> check_known(const PeerId& id, const DaemonOptions& o) {
  if (is_in_store(id, o)) return {};
  const shell::DescriptorFolder folder(o.descriptor_folder, o.network.id);
  const auto bytes = folder.read(id);
  const std::string name = "the relay " + to_hex(id.bytes).substr(0, 8) + "... of --path ";
  if (!bytes) return fail(name + "is not known here; learn it with `macrovpn descriptor add FILE`");
  const auto relay = discovery::verify_descriptor(*bytes, o.network.id, shell::read_clocks().wall);
  if (!relay) return fail(name + "cannot be used: " + relay.error().message);
  return {};
}

}  // namespace

void add_node_flags(CLI::App& cmd, NodeFlags& f) {
  cmd.add_option("--network", f.network, "the network file, if not the usual one")->type_name("FILE");
  cmd.add_option("--descriptors", f.descriptors, "the folder of relay descriptors, if not the usual one")
      ->type_name("DIR");
}

void add_client_flags(CLI::App& cmd, NodeFlags& f) {
  cmd.add_option("--mode", f.mode, "fast (1 relay), balanced (2) or private (3)")->type_name("MODE");
  cmd.add_option("--hops", f.hops, "relays in a circuit, instead of a mode")->check(CLI::Range(1, 5));
  cmd.add_option("--path", f.path, "for labs: exactly these relays, first hop first")
      ->delimiter(',')
      ->type_name("ID,...");
  cmd.add_flag("--hop-by-hop", f.hop_by_hop, "for labs: build circuits without early data");
}

Result<Home> open_home_with(const Program& program, const NodeFlags& f) {
  TRY(Home home, open_home(program));
  if (!f.network.empty()) home.settings.network_file = f.network;
  if (!f.descriptors.empty()) home.settings.descriptor_folder = f.descriptors;
  if (!f.mode.empty()) {
    const auto mode = controller::parse_mode(f.mode);
    if (!mode) return fail("--mode must be fast, balanced or private");
    home.settings.mode = *mode;
    home.settings.hops = 0;
  }
  if (f.hops != 0) home.settings.hops = static_cast<unsigned>(f.hops);
  return home;
}

Result<DaemonOptions> node_options(const Home& home, const NodeFlags& f) {
  DaemonOptions o;
  o.paths = home.paths;
  o.settings = home.settings;
  o.control_socket = home.paths.control_socket();
  o.descriptor_folder = home.descriptor_folder();
  TRY_VOID(shell::make_private_folder(o.descriptor_folder));
  TRY(o.network, open_network(home));
  shell::OsRng rng;
  TRY(o.keys, shell::load_or_create_keys(home.paths.key_file(), rng, shell::read_clocks().wall));
  for (const std::string& text : f.path) {
    TRY(const PeerId id, parse_relay_id(text));
    TRY_VOID(check_known(id, o));
    o.path.push_back(id);
  }
  if (o.path.size() > 5) return fail("--path takes at most 5 relays");
  o.hops = o.path.empty() ? home.settings.hop_count() : static_cast<unsigned>(o.path.size());
  o.hop_by_hop = f.hop_by_hop;
  return o;
}

}  // namespace macrovpn::app
