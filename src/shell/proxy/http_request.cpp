#include "shell/proxy/http_request.h"

#include <algorithm>
#include <charconv>

namespace macrovpn::shell {
namespace {

using std::string_view;

constexpr HttpAnswer kMalformed{400, "Bad Request", "This is no HTTP request that a proxy understands."};
constexpr HttpAnswer kNotForUs{400, "Bad Request",
                               "This is a proxy, not a web site: set it as the proxy of a program."};
constexpr HttpAnswer kNoTls{400, "Bad Request", "Use CONNECT for this kind of address."};
constexpr HttpAnswer kBadHost{400, "Bad Request", "The host is neither an address nor a name."};
constexpr HttpAnswer kMethod{405, "Method Not Allowed", "This method is not forwarded."};
constexpr HttpAnswer kLength{411, "Length Required", "Send the length of the body, or use CONNECT."};
constexpr HttpAnswer kTooLarge{431, "Request Header Fields Too Large",
                               "The head of the request is too large."};
constexpr HttpAnswer kVersion{505, "HTTP Version Not Supported", "Use HTTP/1.1."};

struct Field {
  string_view name, value;
};

bool is_token(string_view s) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && string_view("!#$%&'*+-.^_`|~").find(c) != string_view::npos);
  };
  return !s.empty() && std::all_of(s.begin(), s.end(), fits);
}

bool is_visible(string_view s) {
  return std::all_of(s.begin(), s.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

// Of a field's value: no control characters, above all no CR or LF.
bool is_text(string_view s) {
  return std::all_of(s.begin(), s.end(),
                     [](char c) { return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != 0x7f); });
}

string_view trim(string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
bool same_word(string_view a, string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}
bool starts_with_word(string_view s, string_view start) {
  return s.size() >= start.size() && same_word(s.substr(0, start.size()), start);
}

// Takes a line with its CRLF off the front.
string_view take_line(string_view& text) {
  const size_t end = text.find("\r\n");
  const string_view line = text.substr(0, end);
  text.remove_prefix(std::min(text.size(), line.size() + 2));
  return line;
}

bool read_fields(string_view text, std::vector<Field>& out) {
  while (!text.empty()) {
    const string_view line = take_line(text);
    const size_t colon = line.find(':');
    if (colon == string_view::npos || !is_token(line.substr(0, colon))) return false;
    const Field f{line.substr(0, colon), trim(line.substr(colon + 1))};
    if (!is_text(f.value)) return false;
    out.push_back(f);
  }
  return true;
}

// host[:port], [v6]:port.
std::optional<Target> read_authority(string_view text, std::optional<uint16_t> default_port) {
  const size_t close = text.starts_with('[') ? text.find(']') : 0;
  if (close == string_view::npos) return std::nullopt;
  const size_t colon = text.find(':', close);
  const string_view host = text.substr(0, colon);
  if (host.find(':') != string_view::npos && close == 0) return std::nullopt;
  const auto port = colon == string_view::npos ? default_port : parse_port(text.substr(colon + 1));
  if (!port) return std::nullopt;
  return make_target(host, *port);
}

// The words of all fields called Connection: fields that are meant for one connection only.
std::vector<string_view> connection_words(const std::vector<Field>& fields) {
  std::vector<string_view> out;
  for (const Field& f : fields) {
    if (!same_word(f.name, "Connection") && !same_word(f.name, "Proxy-Connection")) continue;
    for (string_view rest = f.value; !rest.empty();) {
      const size_t comma = std::min(rest.find(','), rest.size());
      out.push_back(trim(rest.substr(0, comma)));
      rest.remove_prefix(std::min(rest.size(), comma + 1));
    }
  }
  return out;
}

bool is_for_one_hop(string_view name, const std::vector<string_view>& named) {
  for (const string_view w :
       {"Connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "HTTP2-Settings", "Host"})
    if (same_word(name, w)) return true;
  if (starts_with_word(name, "Proxy-")) return true;
  // A client that asks for these to be taken off would change what the message is.
  if (same_word(name, "Content-Length")) return false;
  return std::any_of(named.begin(), named.end(), [&](string_view w) { return same_word(w, name); });
}

// Nothing if there are two, or it is no number.
std::optional<uint64_t> body_length(const std::vector<Field>& fields) {
  uint64_t length = 0;
  bool seen = false;
  for (const Field& f : fields) {
    if (!same_word(f.name, "Content-Length")) continue;
    const auto [end, error] = std::from_chars(f.value.data(), f.value.data() + f.value.size(), length);
    if (seen || f.value.empty() || error != std::errc{} || end != f.value.data() + f.value.size())
      return std::nullopt;
    seen = true;
  }
  return length;
}

bool has(const std::vector<Field>& fields, string_view name) {
  return std::any_of(fields.begin(), fields.end(), [&](const Field& f) { return same_word(f.name, name); });
}

// "Basic BASE64(user:password)"; another scheme names nobody.
std::optional<std::string> user_of(const std::vector<Field>& fields) {
  std::string user;
  for (const Field& f : fields) {
    if (!same_word(f.name, "Proxy-Authorization") || !starts_with_word(f.value, "Basic ")) continue;
    const auto plain = from_base64(trim(f.value.substr(6)));
    if (!plain) return std::nullopt;
    user.assign(plain->begin(), std::find(plain->begin(), plain->end(), ':'));
    if (user.size() > 255) return std::nullopt;
  }
  return user;
}

HttpRequest refuse(const HttpAnswer& why) {
  HttpRequest out;
  out.parse = Parse::bad;
  out.refusal = why;
  return out;
}

HttpRequest connect(string_view authority, std::string user) {
  const auto target = read_authority(authority, std::nullopt);
  if (!target) return refuse(kBadHost);
  HttpRequest out;
  out.parse = Parse::done;
  out.target = *target;
  out.user = std::move(user);
  return out;
}

HttpRequest forward(string_view method, string_view url, string_view version,
                    const std::vector<Field>& fields, std::string user) {
  constexpr string_view kScheme = "http://";
  if (!starts_with_word(url, kScheme))
    return refuse(url.find("://") == string_view::npos ? kNotForUs : kNoTls);
  if (same_word(method, "TRACE")) return refuse(kMethod);
  if (has(fields, "Transfer-Encoding")) return refuse(kLength);
  const auto length = body_length(fields);
  if (!length) return refuse(kMalformed);
  url.remove_prefix(kScheme.size());
  url = url.substr(0, url.find('#'));
  const string_view authority = url.substr(0, url.find_first_of("/?"));
  const string_view path = url.substr(authority.size());
  const auto target = read_authority(authority, 80);
  if (!target) return refuse(kBadHost);
  HttpRequest out;
  out.parse = Parse::done;
  out.kind = HttpRequest::Kind::forward;
  out.target = *target;
  out.user = std::move(user);
  out.body = *length;
  out.forwarded.append(method).append(path.starts_with('/') ? " " : " /").append(path);
  out.forwarded.append(" ").append(version).append("\r\nHost: ").append(authority).append("\r\n");
  const auto named = connection_words(fields);
  for (const Field& f : fields)
    if (!is_for_one_hop(f.name, named))
      out.forwarded.append(f.name).append(": ").append(f.value).append("\r\n");
  out.forwarded.append("Connection: close\r\n\r\n");
  return out;
}

HttpRequest read_head(string_view head) {
  const string_view line = take_line(head);
  const size_t first = line.find(' '), second = line.rfind(' ');
  if (first == string_view::npos || first == second) return refuse(kMalformed);
  const string_view method = line.substr(0, first), url = line.substr(first + 1, second - first - 1),
                    version = line.substr(second + 1);
  if (!is_token(method) || url.empty() || !is_visible(url)) return refuse(kMalformed);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return refuse(kVersion);
  std::vector<Field> fields;
  if (!read_fields(head, fields)) return refuse(kMalformed);
  const auto user = user_of(fields);
  if (!user) return refuse(kMalformed);
  return method == "CONNECT" ? connect(url, *user) : forward(method, url, version, fields, *user);
}

// The first bytes of anything that may become a request line; the rest need not be waited for.
bool may_be_http(string_view text) {
  const string_view start = text.substr(0, std::min(text.find(' '), size_t{32}));
  return is_token(start);
}

}  // namespace

HttpRequest read_http_request(Bytes in) {
  const string_view text(reinterpret_cast<const char*>(in.data()), std::min(in.size(), kMaxHttpHead));
  const size_t end = text.find("\r\n\r\n");
  if (end == string_view::npos) {
    if (!text.empty() && !may_be_http(text)) return refuse(kMalformed);
    if (in.size() >= kMaxHttpHead) return refuse(kTooLarge);
    return {};
  }
  HttpRequest out = read_head(text.substr(0, end + 2));
  out.used = end + 4;
  return out;
}

std::string http_established() {
  return "HTTP/1.1 200 Connection established\r\n\r\n";
}

std::string http_refusal(const HttpAnswer& a) {
  const std::string body = std::string(a.sentence) + "\n";
  return "HTTP/1.1 " + std::to_string(a.status) + " " + a.reason +
         "\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nCache-Control: "
         "no-store\r\nConnection: close\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace macrovpn::shell
