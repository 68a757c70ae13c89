// What the user wants, from two TOML files: the user's own, which only the user writes, and over it the one
// that `macrovpn config set` writes.  Unknown keys are refused, because a misspelt one would silently do
// nothing.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/controller/state.h"
#include "model/ip.h"
#include "model/relay.h"
#include "shell/config/quantities.h"
#include "shell/config/toml_text.h"

namespace macrovpn::shell {

enum class ExitKind : uint8_t { automatic, rootless, kernel };

enum class SettingSource : uint8_t { built_in, user_file, config_set };
struct SettingValue {
  TomlValue value;
  SettingSource source = SettingSource::built_in;
};

struct Settings {
  controller::Mode mode = controller::Mode::private_;
  unsigned hops = 0;  // 0: as the mode says
  Region exit_region;
  bool exit_region_claims = true;  // a relay's own word for its region is enough
  Region own_region;               // where this computer is, for checks of claims
  std::vector<Endpoint> listen;     // the UDP ports that a relay listens on
  std::vector<Endpoint> endpoints;  // where others reach the relay; empty: the listening ones
  Region region;
  Bandwidth bandwidth;
  uint32_t as_number = 0;
  std::string family_key_file;  // empty: no family
  bool exit = false;
  bool exit_risk_accepted = false;
  bool plain_stun = false;
  bool open_port = false;
  bool at_home = false;      // what others reach the relay by is found out
  bool introducer = true;    // of a relay in the open
  bool measure = true;       // a relay measures others, and lets itself be measured
  unsigned measure_week = 0; // seconds, of labs; 0: a week
  unsigned open_port_check = 60;  // seconds
  ExitKind exit_kind = ExitKind::automatic;
  Bandwidth rate;             // what a relay carries at most; zero: no cap
  uint64_t month_amount = 0;  // bytes; 0: no limit
  unsigned month_day = 1;
  peers::Hours hours;
  size_t circuits = 0;  // 0: no limit
  uint64_t memory = 0;  // bytes; 0: no limit
  unsigned drain_seconds = 30;
  unsigned workers = 1;  // of a relay
  std::vector<Endpoint> https_listen;   // TCP; empty: a relay takes no clients by HTTPS
  std::string https_name, https_page;   // of the certificate; a file
  uint16_t device_port = 0;  // where devices of the user's own call this node
  std::string network_file, descriptor_folder, country_database;  // empty: the usual place
  bool live_directory = true;  // relays are found by asking the network; else in files alone

  std::map<std::string, SettingValue> values;  // every key, as `config get` shows it

  unsigned hop_count() const { return hops != 0 ? hops : controller::hops_of(mode); }
};

struct SettingInfo {
  std::string_view key;
  std::string_view help;
};
std::vector<SettingInfo> all_settings();

// Files that do not exist count as empty.
Result<Settings> load_settings(const std::string& user_file, const std::string& overlay_file);
// `text` is what was typed: lists are separated by commas.  Checked before anything is written.
Result<void> set_setting(const std::string& overlay_file, const std::string& key, const std::string& text);

std::optional<Region> parse_region(std::string_view);

}  // namespace macrovpn::shell
