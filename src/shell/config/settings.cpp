// One row a setting: its key, its default, what it means and how its value is read.  Loading, `config get`,
// `config set` and the complaints all follow from the rows.
#include "shell/config/settings.h"

#include <algorithm>
#include <charconv>

#include "core/discovery/details.h"
#include "core/peers/resources.h"
#include "shell/config/atomic_file.h"

namespace macrovpn::shell {
namespace {

constexpr size_t kMaxFile = 64 * 1024;
constexpr size_t kMaxListen = 8;

using Complaint = std::optional<std::string>;

struct Row {
  std::string_view key;
  TomlValue standard;
  std::string_view help;
  Complaint (*read)(Settings&, const TomlValue&);
};

using Texts = std::vector<std::string>;

template <class E>
Complaint choice(E& out, const TomlValue& v, std::initializer_list<std::pair<std::string_view, E>> choices) {
  std::string names;
  const auto* text = std::get_if<std::string>(&v);
  for (const auto& [name, value] : choices) {
    if (text != nullptr && *text == name) {
      out = value;
      return {};
    }
    names += (names.empty() ? "\"" : ", \"") + std::string(name) + "\"";
  }
  return "must be one of " + names;
}

Complaint flag(bool& out, const TomlValue& v) {
  const auto* b = std::get_if<bool>(&v);
  if (b == nullptr) return "must be true or false";
  out = *b;
  return {};
}

Complaint text(std::string& out, const TomlValue& v) {
  const auto* s = std::get_if<std::string>(&v);
  if (s == nullptr) return "must be a \"text\"";
  out = *s;
  return {};
}

template <class T>
Complaint number(T& out, const TomlValue& v, int64_t low, int64_t high) {
  const auto* n = std::get_if<int64_t>(&v);
  if (n == nullptr || *n < low || *n > high)
    return "must be a number from " + std::to_string(low) + " to " + std::to_string(high);
  out = static_cast<T>(*n);
  return {};
}

Complaint endpoints(std::vector<Endpoint>& out, const TomlValue& v, size_t limit) {
  const auto* list = std::get_if<Texts>(&v);
  if (list == nullptr || list->size() > limit)
    return "must be a list of at most " + std::to_string(limit) + " endpoints";
  out.clear();
  for (const std::string& s : *list) {
    const auto e = Endpoint::parse(s);
    if (!e) return "must hold endpoints like \"0.0.0.0:51820\" or \"[::]:51820\"";
    out.push_back(*e);
  }
  return {};
}

Complaint host_name(std::string& out, const TomlValue& v) {
  if (auto c = text(out, v)) return c;
  if (out.empty() || discovery::is_server_name(out)) return {};
  return "must be a host name of at most 63 small letters, digits, dots and dashes, or \"\"";
}

Complaint region(Region& out, const TomlValue& v) {
  std::string s;
  if (auto c = text(s, v)) return c;
  const auto parsed = s.empty() ? Region{} : parse_region(s);
  if (!parsed) return "must be a country code like \"NO\", or \"\" for none";
  out = *parsed;
  return {};
}

Complaint bandwidth(Bandwidth& out, const TomlValue& v) {
  std::string s;
  if (auto c = text(s, v)) return c;
  const auto parsed = s.empty() ? Bandwidth{} : parse_bandwidth(s);
  if (!parsed) return "must be like \"100 Mbit/s\" or \"12 MB/s\", or \"\" for none";
  out = *parsed;
  return {};
}

Complaint amount(uint64_t& out, const TomlValue& v) {
  std::string s;
  if (auto c = text(s, v)) return c;
  const auto parsed = s.empty() ? uint64_t{0} : parse_amount(s);
  if (!parsed) return "must be like \"500 GB\" or \"64 MiB\", or \"\" for no limit";
  out = *parsed;
  return {};
}

Complaint memory(uint64_t& out, const TomlValue& v) {
  if (auto c = amount(out, v)) return c;
  if (out != 0 && out < peers::kLeastRelayMemory) return "must be at least \"64 MiB\", or \"\" for no limit";
  return {};
}

Complaint hours(peers::Hours& out, const TomlValue& v) {
  std::string s;
  if (auto c = text(s, v)) return c;
  const auto parsed = s.empty() ? peers::Hours{} : parse_hours(s);
  if (!parsed) return "must be like \"22:00-07:00\", or \"\" for always";
  out = *parsed;
  return {};
}

Complaint mode(Settings& s, const TomlValue& v) {
  const auto* name = std::get_if<std::string>(&v);
  const auto parsed = name != nullptr ? controller::parse_mode(*name) : std::nullopt;
  if (!parsed) return "must be \"fast\", \"balanced\" or \"private\"";
  s.mode = *parsed;
  return {};
}
Complaint exit_kind(Settings& s, const TomlValue& v) {
  return choice<ExitKind>(
      s.exit_kind, v,
      {{"auto", ExitKind::automatic}, {"rootless", ExitKind::rootless}, {"kernel", ExitKind::kernel}});
}

const std::vector<Row>& rows() {
  using S = Settings;
  using V = TomlValue;
  static const std::vector<Row> all = {
      {"client.exit_region", "", "country in which circuits should end, like \"NO\"",
       [](S& s, const V& v) { return region(s.exit_region, v); }},
      {"client.exit_region_claims", true,
       "whether an exit's own word for its country is enough; false: the country database has to agree",
       [](S& s, const V& v) { return flag(s.exit_region_claims, v); }},
      {"client.hops", int64_t{0}, "relays in a circuit, 1 to 5; 0: as the mode says",
       [](S& s, const V& v) { return number(s.hops, v, 0, 5); }},
      {"client.mode", "private", "fast (1 relay), balanced (2) or private (3)", mode},
      {"client.own_region", "", "country in which this computer is: by it, relays that answer too soon for what they claim are found; told to nobody",
       [](S& s, const V& v) { return region(s.own_region, v); }},
      {"device.port", int64_t{51'821}, "UDP port that devices of `macrovpn device add` call; known to them, so change it before you add any",
       [](S& s, const V& v) { return number(s.device_port, v, 1, 65'535); }},
      {"network.country_database", "", "file that says which country an address is in (MaxMind's format); \"\": the usual places, see `macrovpn doctor`",
       [](S& s, const V& v) { return text(s.country_database, v); }},
      {"network.descriptors", "", "folder of relay descriptors; \"\": the usual one",
       [](S& s, const V& v) { return text(s.descriptor_folder, v); }},
      {"network.file", "", "the network file; \"\": the usual one",
       [](S& s, const V& v) { return text(s.network_file, v); }},
      {"network.live", true, "whether relays are found by asking the network; false: only in network.descriptors, for labs without a directory",
       [](S& s, const V& v) { return flag(s.live_directory, v); }},
      {"network.measure_week", int64_t{0}, "seconds in which relays measure each other once, the same on all computers of a lab; 0: a week",
       [](S& s, const V& v) { return number(s.measure_week, v, 0, 604'800); }},
      {"relay.as_number", int64_t{0}, "the relay's AS number, published; 0: not said",
       [](S& s, const V& v) { return number(s.as_number, v, 0, UINT32_MAX); }},
      {"relay.at_home", false, "the relay stands behind a home router: find out how others reach it, through other relays if need be",
       [](S& s, const V& v) { return flag(s.at_home, v); }},
      {"relay.bandwidth", "", "what the relay offers, published, like \"100 Mbit/s\"",
       [](S& s, const V& v) { return bandwidth(s.bandwidth, v); }},
      {"relay.circuits", int64_t{0}, "circuits that the relay carries at most; 0: as many as its memory allows",
       [](S& s, const V& v) { return number(s.circuits, v, 0, 65'536); }},
      {"relay.drain_seconds", int64_t{30}, "how long a relay that ends waits for its circuits to move, 0 to 600",
       [](S& s, const V& v) { return number(s.drain_seconds, v, 0, 600); }},
      {"relay.endpoints", Texts{}, "where others reach the relay, published; none: where it listens",
       [](S& s, const V& v) { return endpoints(s.endpoints, v, kMaxRelayEndpoints); }},
      {"relay.exit", false, "whether the relay is an exit", [](S& s, const V& v) { return flag(s.exit, v); }},
      {"relay.exit_kind", "auto", "how an exit sends traffic out: auto, rootless or kernel", exit_kind},
      {"relay.exit_risk_accepted", false, "you know that what others do through an exit shows your address",
       [](S& s, const V& v) { return flag(s.exit_risk_accepted, v); }},
      {"relay.family_key", "", "file with the key that all your relays share",
       [](S& s, const V& v) { return text(s.family_key_file, v); }},
      {"relay.hours", "", "when the relay serves, local time, like \"22:00-07:00\"; \"\": always",
       [](S& s, const V& v) { return hours(s.hours, v); }},
      {"relay.https", Texts{}, "TCP addresses on which a relay takes clients whose UDP is blocked, like \"0.0.0.0:443\"; none: it does not",
       [](S& s, const V& v) { return endpoints(s.https_listen, v, kMaxListen); }},
      {"relay.https_name", "", "host name in that port's certificate, which callers say in the open; \"\": one that is drawn",
       [](S& s, const V& v) { return host_name(s.https_name, v); }},
      {"relay.https_page", "", "file with the web page that strangers see on that port; \"\": a plain one",
       [](S& s, const V& v) { return text(s.https_page, v); }},
      {"relay.introducer", true, "bring relays behind home routers together with those that want them, if this one stands in the open",
       [](S& s, const V& v) { return flag(s.introducer, v); }},
      {"relay.listen", Texts{"0.0.0.0:51820"},
       "UDP addresses on which a relay listens; 0.0.0.0 takes IPv6 too",
       [](S& s, const V& v) { return endpoints(s.listen, v, kMaxListen); }},
      {"relay.measure", true, "measure what other relays carry, ten seconds for each of a few in a week, and let them measure this one; else it counts as a slow one",
       [](S& s, const V& v) { return flag(s.measure, v); }},
      {"relay.memory", "", "memory for the relay, like \"256 MiB\"; it limits the circuits; \"\": no limit",
       [](S& s, const V& v) { return memory(s.memory, v); }},
      {"relay.month_amount", "", "what the relay carries in a month, like \"500 GB\"; \"\": no limit",
       [](S& s, const V& v) { return amount(s.month_amount, v); }},
      {"relay.month_day", int64_t{1}, "the day on which that month starts, 1 to 28, at midnight UTC",
       [](S& s, const V& v) { return number(s.month_day, v, 1, 28); }},
      {"relay.open_port", false, "ask the router to open the relay's port (PCP, NAT-PMP, UPnP)",
       [](S& s, const V& v) { return flag(s.open_port, v); }},
      {"relay.open_port_check", int64_t{60}, "seconds between two questions whether the router still knows, 5 to 3600",
       [](S& s, const V& v) { return number(s.open_port_check, v, 5, 3600); }},
      {"relay.plain_stun", false, "also answer STUN without a mask, for programs of others; scanners can then find the relay",
       [](S& s, const V& v) { return flag(s.plain_stun, v); }},
      {"relay.rate", "", "what the relay carries at most, like \"20 Mbit/s\", both directions added; \"\": no limit",
       [](S& s, const V& v) { return bandwidth(s.rate, v); }},
      {"relay.region", "", "the relay's country, published, like \"NO\"",
       [](S& s, const V& v) { return region(s.region, v); }},
      {"relay.workers", int64_t{1}, "threads that carry a relay's traffic, 1 to 16",
       [](S& s, const V& v) { return number(s.workers, v, 1, 16); }},
  };
  return all;
}

std::vector<std::string_view> keys() {
  std::vector<std::string_view> out;
  for (const Row& r : rows()) out.push_back(r.key);
  return out;
}

const Row* find_row(std::string_view key) {
  const auto it = std::find_if(rows().begin(), rows().end(), [&](const Row& r) { return r.key == key; });
  return it == rows().end() ? nullptr : &*it;
}

std::string unknown(const std::string& key) {
  return "unknown setting '" + key + "'." + suggestion(key, keys());
}

Result<std::vector<TomlEntry>> read_entries(const std::string& file) {
  if (!file_exists(file)) return std::vector<TomlEntry>{};
  TRY(const std::vector<uint8_t> bytes, read_own_file(file, kMaxFile));
  return read_toml({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file);
}

Result<void> apply_file(Settings& s, const std::string& file, SettingSource source) {
  TRY(const auto entries, read_entries(file));
  for (const TomlEntry& e : entries) {
    const Row* row = find_row(e.key);
    if (row == nullptr) return toml_error(file, e.line, unknown(e.key));
    if (const Complaint c = row->read(s, e.value)) return toml_error(file, e.line, "'" + e.key + "' " + *c);
    s.values[e.key] = {e.value, source};
  }
  return {};
}

std::string trimmed(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return std::string(s);
}

Texts split_at_commas(const std::string& s) {
  Texts out;
  size_t from = 0;
  while (from <= s.size()) {
    const size_t comma = std::min(s.find(',', from), s.size());
    if (auto item = trimmed(std::string_view(s).substr(from, comma - from)); !item.empty())
      out.push_back(item);
    from = comma + 1;
  }
  return out;
}

// What was typed, as the kind of value that the setting has.
TomlValue typed_value(const Row& row, const std::string& typed) {
  if (std::holds_alternative<Texts>(row.standard)) return split_at_commas(typed);
  if (std::holds_alternative<bool>(row.standard) && (typed == "true" || typed == "false"))
    return typed == "true";
  int64_t n = 0;
  const auto [end, error] = std::from_chars(typed.data(), typed.data() + typed.size(), n);
  if (std::holds_alternative<int64_t>(row.standard) && error == std::errc{} &&
      end == typed.data() + typed.size())
    return n;
  return typed;
}

}  // namespace

std::vector<SettingInfo> all_settings() {
  std::vector<SettingInfo> out;
  for (const Row& r : rows()) out.push_back({r.key, r.help});
  return out;
}

Result<Settings> load_settings(const std::string& user_file, const std::string& overlay_file) {
  Settings s;
  for (const Row& r : rows()) {
    MV_ASSERT(!r.read(s, r.standard));
    s.values[std::string(r.key)] = {r.standard, SettingSource::built_in};
  }
  TRY_VOID(apply_file(s, user_file, SettingSource::user_file));
  TRY_VOID(apply_file(s, overlay_file, SettingSource::config_set));
  return s;
}

Result<void> set_setting(const std::string& overlay_file, const std::string& key, const std::string& typed) {
  const Row* row = find_row(key);
  if (row == nullptr) return fail(unknown(key));
  const TomlValue value = typed_value(*row, typed);
  Settings scratch;
  if (const Complaint c = row->read(scratch, value)) return fail("'" + key + "' " + *c);
  TRY(const auto entries, read_entries(overlay_file));
  std::map<std::string, std::string> lines;
  for (const TomlEntry& e : entries) lines[e.key] = to_toml(e.value);
  lines[key] = to_toml(value);
  std::string out =
      "# Written by `macrovpn config set`; it wins over settings.toml, which is yours to edit.\n";
  for (const auto& [name, toml] : lines) out += name + " = " + toml + "\n";
  return write_file(overlay_file, as_bytes(out));
}

std::optional<Region> parse_region(std::string_view s) {
  if (s.size() != 2 || !std::all_of(s.begin(), s.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
    return std::nullopt;
  return Region{{static_cast<uint8_t>(s[0]), static_cast<uint8_t>(s[1])}};
}

}  // namespace macrovpn::shell
