#include "shell/config/toml_text.h"

#include <toml++/toml.h>
#include <algorithm>

namespace macrovpn::shell {
namespace {

Result<TomlValue> list_of_texts(const toml::array& array, const std::string& file) {
  std::vector<std::string> out;
  for (const toml::node& item : array) {
    const auto text = item.value_exact<std::string>();
    if (!text) return toml_error(file, item.source().begin.line, "a list may hold \"texts\" only");
    out.push_back(*text);
  }
  return TomlValue(std::move(out));
}

Result<TomlValue> value_of(const toml::node& node, const std::string& key, const std::string& file) {
  if (const auto text = node.value_exact<std::string>()) return TomlValue(*text);
  if (const auto number = node.value_exact<int64_t>()) return TomlValue(*number);
  if (const auto flag = node.value_exact<bool>()) return TomlValue(*flag);
  if (const toml::array* array = node.as_array()) return list_of_texts(*array, file);
  return toml_error(file, node.source().begin.line, "'" + key + "' is of a kind that is not used here");
}

Result<void> flatten(const toml::table& table, const std::string& prefix, const std::string& file,
                     std::vector<TomlEntry>& out) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    if (const toml::table* inner = node.as_table()) {
      TRY_VOID(flatten(*inner, key + ".", file, out));
      continue;
    }
    TRY(TomlValue value, value_of(node, key, file));
    out.push_back({key, std::move(value), name.source().begin.line});
  }
  return {};
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20 || u == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04X", u);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

template <class F>
std::string joined(const std::vector<std::string>& list, F f) {
  std::string out;
  for (const std::string& s : list) out += (out.empty() ? "" : ", ") + f(s);
  return out;
}

// Levenshtein distance.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++) row[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      const size_t up = row[j];
      row[j] = std::min({up + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = up;
    }
  }
  return row[b.size()];
}

}  // namespace

Result<std::vector<TomlEntry>> read_toml(std::string_view text, const std::string& file) {
  try {
    const toml::table table = toml::parse(text, file);
    std::vector<TomlEntry> out;
    TRY_VOID(flatten(table, "", file, out));
    std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.line < b.line; });
    return out;
  } catch (const toml::parse_error& e) {
    return toml_error(file, e.source().begin.line, std::string(e.description()));
  }
}

std::string to_toml(const TomlValue& v) {
  if (const auto* text = std::get_if<std::string>(&v)) return quoted(*text);
  if (const auto* list = std::get_if<std::vector<std::string>>(&v)) return "[" + joined(*list, quoted) + "]";
  return to_plain(v);
}

std::string to_plain(const TomlValue& v) {
  if (const auto* text = std::get_if<std::string>(&v)) return *text;
  if (const auto* number = std::get_if<int64_t>(&v)) return std::to_string(*number);
  if (const auto* flag = std::get_if<bool>(&v)) return *flag ? "true" : "false";
  return joined(std::get<std::vector<std::string>>(v), [](const std::string& s) { return s; });
}

Failure<Error> toml_error(const std::string& file, unsigned line, const std::string& message) {
  return fail(file + ":" + std::to_string(line) + ": " + message);
}

std::string suggestion(std::string_view wrong, std::span<const std::string_view> candidates) {
  std::string_view best;
  size_t best_distance = wrong.size() / 3 + 2;  // further away is no typing error
  for (const std::string_view c : candidates) {
    const size_t d = distance(wrong, c);
    if (d < best_distance) best = c, best_distance = d;
  }
  return best.empty() ? "" : " Did you mean '" + std::string(best) + "'?";
}

}  // namespace macrovpn::shell
