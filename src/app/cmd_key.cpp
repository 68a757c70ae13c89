#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/passphrase_prompt.h"
#include "core/discovery/descriptor.h"
#include "shell/clock.h"
#include "shell/config/atomic_file.h"
#include "shell/config/key_store.h"

namespace macrovpn::app {
namespace {

constexpr size_t kMaxBackup = 16 * 1024;

Result<shell::Keys> our_keys(const Home& home) {
  shell::OsRng rng;
  return shell::load_or_create_keys(home.paths.key_file(), rng, shell::read_clocks().wall);
}

Result<int> show(const Program& program, bool json) {
  TRY(const Home home, open_home(program));
  TRY(const shell::Keys keys, our_keys(home));
  const std::string id = to_hex(discovery::peer_id_of(keys.identity.pub).bytes);
  const std::string identity = to_hex(keys.identity.pub.bytes),
                    wireguard = to_base64(keys.wireguard.pub.bytes);
  if (json) {
    print_json(
        {{"id", id}, {"identity", identity}, {"wireguard", wireguard}, {"file", home.paths.key_file()}});
  } else {
    std::printf("relay id       %s\nidentity key   %s\nWireGuard key  %s\nfile           %s\n", id.c_str(),
                identity.c_str(), wireguard.c_str(), home.paths.key_file().c_str());
  }
  return kDone;
}

Result<int> backup(const Program& program, const std::string& file, const std::string& passphrase_file) {
  TRY(const Home home, open_home(program));
  TRY(const shell::Keys keys, our_keys(home));
  TRY(const std::string passphrase, read_passphrase(passphrase_file, Ask::twice));
  shell::OsRng rng;
  TRY(const std::string text, shell::backup_keys(keys, passphrase, rng));
  if (file.empty() || file == "-") {
    std::printf("%s", text.c_str());
    return kDone;
  }
  TRY_VOID(shell::write_file(file, as_bytes(text)));
  std::printf("Wrote the backup to %s.  It opens with your passphrase only.\n", file.c_str());
  return kDone;
}

Result<int> restore(const Program& program, const std::string& file, const std::string& passphrase_file) {
  TRY(const Home home, open_home(program));
  TRY(const auto bytes, shell::read_file(file == "-" ? "/dev/stdin" : file, kMaxBackup));
  TRY(const std::string passphrase, read_passphrase(passphrase_file, Ask::once));
  TRY(const shell::Keys keys,
      shell::restore_keys({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, passphrase));
  TRY_VOID(shell::store_new_keys(home.paths.key_file(), keys));
  std::printf("Restored the keys of relay %s.\n",
              to_hex(discovery::peer_id_of(keys.identity.pub).bytes).c_str());
  return kDone;
}

}  // namespace

void add_key(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("key", "show, back up and restore this node's keys");
  cmd->footer(
      "Examples:\n  macrovpn key show\n  macrovpn key backup keys.backup\n  macrovpn key restore "
      "keys.backup\n"
      "A backup is a text locked with a passphrase; you can print it.");
  cmd->require_subcommand(1);
  auto file = std::make_shared<std::string>();
  auto passphrase_file = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);

  auto* print = cmd->add_subcommand("show", "the public keys; they are made on first use");
  print->add_flag("--json", *json, "for programs");
  print->callback([&program, json] { program.action = [&program, json] { return show(program, *json); }; });

  auto* save = cmd->add_subcommand("backup", "lock the keys with a passphrase and write them as text");
  save->add_option("FILE", *file, "where to; standard output if absent");
  save->add_option("--passphrase-file", *passphrase_file, "read the passphrase from its first line");
  save->callback([&program, file, passphrase_file] {
    program.action = [&program, file, passphrase_file] { return backup(program, *file, *passphrase_file); };
  });

  auto* load =
      cmd->add_subcommand("restore", "take the keys from a backup; refused if there are keys already");
  load->add_option("FILE", *file, "the backup; - for standard input")->required();
  load->add_option("--passphrase-file", *passphrase_file, "read the passphrase from its first line");
  load->callback([&program, file, passphrase_file] {
    program.action = [&program, file, passphrase_file] { return restore(program, *file, *passphrase_file); };
  });
}

}  // namespace macrovpn::app
