#include "shell/websocket/http_head.h"

namespace macrovpn::shell::websocket {
namespace {

using std::string_view;

bool is_token(string_view s) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && string_view("!#$%&'*+-.^_`|~").find(c) != string_view::npos);
  };
  return !s.empty() && std::all_of(s.begin(), s.end(), fits);
}

bool is_text(string_view s) {
  return std::all_of(s.begin(), s.end(), [](char c) { return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != 0x7f); });
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool same_word(string_view a, string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

string_view trim(string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

// Takes a line with its CRLF off the front; there is one.
string_view take_line(string_view& text) {
  const size_t end = text.find("\r\n");
  const string_view line = text.substr(0, end);
  text.remove_prefix(end + 2);
  return line;
}

}  // namespace

std::optional<string_view> Head::only(string_view name) const {
  std::optional<string_view> found;
  for (const Field& f : fields) {
    if (!same_word(f.name, name)) continue;
    if (found) return std::nullopt;
    found = f.value;
  }
  return found;
}

bool Head::has(string_view name) const {
  return std::any_of(fields.begin(), fields.end(), [&](const Field& f) { return same_word(f.name, name); });
}

bool Head::lists(string_view name, string_view word) const {
  for (const Field& f : fields) {
    if (!same_word(f.name, name)) continue;
    for (string_view rest = f.value; !rest.empty();) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (same_word(trim(rest.substr(0, comma)), word)) return true;
      rest.remove_prefix(std::min(rest.size(), comma + 1));
    }
  }
  return false;
}

Head read_head(Bytes bytes) {
  Head out;
  const string_view all(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kMaxHead));
  const size_t end = all.find("\r\n\r\n");
  if (end == string_view::npos) {
    if (bytes.size() >= kMaxHead) out.parse = Head::Parse::bad;
    return out;
  }
  out.parse = Head::Parse::bad;
  string_view text = all.substr(0, end + 2);
  out.first_line = take_line(text);
  if (out.first_line.empty() || !is_text(out.first_line)) return out;
  while (!text.empty()) {
    const string_view line = take_line(text);
    const size_t colon = line.find(':');
    if (out.fields.size() == kMaxFields || colon == string_view::npos || !is_token(line.substr(0, colon))) return out;
    const Field f{line.substr(0, colon), trim(line.substr(colon + 1))};
    if (!is_text(f.value)) return out;
    out.fields.push_back(f);
  }
  out.used = end + 4;
  out.parse = Head::Parse::done;
  return out;
}

}  // namespace macrovpn::shell::websocket
