#include "shell/proxy/target.h"

#include <algorithm>
#include <charconv>

#include "core/routing/dns_message.h"

namespace macrovpn::shell {
namespace {

constexpr ByteArray<12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// As inet_aton(3) and the URL standard see it: a last label that is a number makes the whole an address.
bool ends_in_a_number(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  const std::string_view last = name.substr(name.rfind('.') + 1);
  if (last.starts_with("0x") || last.starts_with("0X")) return true;
  return std::all_of(last.begin(), last.end(), is_digit);
}

bool is_name(std::string_view name) {
  const auto fits = [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.'; };
  if (name.empty() || name == "." || !std::all_of(name.begin(), name.end(), fits)) return false;
  return !ends_in_a_number(name) && routing::DnsName::parse(name).has_value();
}

}  // namespace

Target make_target(const IpAddress& address, uint16_t port) {
  const Bytes b = address.bytes();
  if (b.size() == 16 && equal(b.first(12), kMapped))
    return {IpAddress::v4(load_be32(b.data() + 12)), {}, port};
  return {address, {}, port};
}

std::optional<Target> make_target(std::string_view host, uint16_t port) {
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  const auto address = IpAddress::parse(bracketed ? host.substr(1, host.size() - 2) : host);
  if (address && !(bracketed && address->is_v4())) return make_target(*address, port);
  if (!is_name(host)) return std::nullopt;
  return Target{std::nullopt, std::string(host), port};
}

std::optional<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

}  // namespace macrovpn::shell
