#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/command.h"

namespace macrovpn::app {
namespace {

using shell::SettingSource;

const char* name_of(SettingSource s) {
  switch (s) {
    case SettingSource::user_file:
      return "your settings.toml";
    case SettingSource::config_set:
      return "config set";
    case SettingSource::built_in:
      break;
  }
  return "built in";
}

nlohmann::json json_of(const shell::TomlValue& v) {
  return std::visit([](const auto& value) { return nlohmann::json(value); }, v);
}

Result<int> get_all(const Home& home, bool json) {
  nlohmann::json out = nlohmann::json::object();
  for (const shell::SettingInfo& info : shell::all_settings()) {
    const shell::SettingValue& v = home.settings.values.at(std::string(info.key));
    out[std::string(info.key)] = {{"value", json_of(v.value)}, {"source", name_of(v.source)}};
    if (!json) {
      std::printf("%-27s %-18s # %s (%s)\n", std::string(info.key).c_str(), shell::to_toml(v.value).c_str(),
                  std::string(info.help).c_str(), name_of(v.source));
    }
  }
  if (json) print_json(out);
  return kDone;
}

Result<int> get_one(const Home& home, const std::string& key, bool json) {
  const auto it = home.settings.values.find(key);
  if (it == home.settings.values.end()) {
    std::vector<std::string_view> keys;
    for (const auto& info : shell::all_settings()) keys.push_back(info.key);
    return fail("unknown setting '" + key + "'." + shell::suggestion(key, keys));
  }
  if (json) {
    print_json({{"value", json_of(it->second.value)}, {"source", name_of(it->second.source)}});
  } else {
    std::printf("%s\n", shell::to_plain(it->second.value).c_str());
  }
  return kDone;
}

}  // namespace

void add_config(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("config", "read and change settings");
  cmd->footer(
      "Examples:\n  macrovpn config get\n  macrovpn config set client.mode balanced\n"
      "`set` writes a file of its own, which wins over your settings.toml and leaves that alone.  A daemon "
      "reads\n"
      "settings when it starts.");
  cmd->require_subcommand(1);
  auto key = std::make_shared<std::string>();
  auto value = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);

  auto* get = cmd->add_subcommand("get", "show one setting, or all with their meaning and source");
  get->add_option("KEY", *key, "like client.mode");
  get->add_flag("--json", *json, "for programs");
  get->callback([&program, key, json] {
    program.action = [&program, key, json]() -> Result<int> {
      TRY(const Home home, open_home(program));
      return key->empty() ? get_all(home, *json) : get_one(home, *key, *json);
    };
  });

  auto* set = cmd->add_subcommand("set", "change a setting; lists are separated by commas");
  set->add_option("KEY", *key)->required();
  set->add_option("VALUE", *value)->required();
  set->callback([&program, key, value] {
    program.action = [&program, key, value]() -> Result<int> {
      TRY(const Home home, open_home(program));
      TRY_VOID(shell::set_setting(home.paths.overlay_file(), *key, *value));
      return kDone;
    };
  });
}

}  // namespace macrovpn::app
