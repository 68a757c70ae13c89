#include "shell/phone/phone_config.h"

#include <algorithm>
#include <charconv>

#include "core/node/phone_side.h"
#include "core/routing/address_rewrite.h"

namespace macrovpn::shell {
namespace {

constexpr size_t kMaxHostName = 253;  // RFC 1035 §2.3.4, without the last dot
// Most NATs forget a silent UDP flow after 30 s or more (RFC 4787 §4.3); the usual choice.
constexpr unsigned kKeepaliveSeconds = 25;

bool is_host_name(std::string_view host) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  };
  if (host.empty() || host.size() > kMaxHostName || !std::all_of(host.begin(), host.end(), fits)) return false;
  // Digits and dots alone are an address, or a mistyped one.
  const bool numeric = host.find_first_not_of("0123456789.") == std::string_view::npos;
  return numeric ? IpAddress::parse(host).has_value() : host[0] != '-' && host[0] != '.';
}

bool is_v6(std::string_view host) {
  const auto a = IpAddress::parse(host);
  return a && !a->is_v4();
}

std::optional<uint16_t> read_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

}  // namespace

std::string phone_config_text(const PhoneConfig& c) {
  const auto& inside = routing::InsideAddresses::get();
  return "[Interface]\nPrivateKey = " + to_base64(c.phone.secret.reveal()) +
         "\nAddress = " + inside.client4.reveal() + "/32, " + inside.client6.reveal() +
         "/128\nDNS = " + inside.dns4.reveal() + ", " + inside.dns6.reveal() +
         "\nMTU = " + std::to_string(node::kPhoneMtu) + "\n\n[Peer]\nPublicKey = " + to_base64(c.node.bytes) +
         "\nPresharedKey = " + to_base64(c.preshared.reveal()) + "\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = " + c.endpoint +
         "\nPersistentKeepalive = " + std::to_string(kKeepaliveSeconds) + "\n";
}

Result<std::string> read_phone_endpoint(const std::string& typed, uint16_t port) {
  const auto refused = fail("--endpoint must be like vpn.example.org:51821, 203.0.113.5:51821 or [2001:db8::5]:51821");
  std::string_view host = typed, rest;
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    if (end == std::string_view::npos) return refused;
    rest = host.substr(end + 1);
    host = host.substr(1, end - 1);
    if (!is_v6(host)) return refused;
  } else if (!is_v6(host)) {
    const size_t colon = std::min(host.find(':'), host.size());
    rest = host.substr(colon);
    host = host.substr(0, colon);
    if (!is_host_name(host)) return refused;
  }
  if (!rest.empty()) {
    const auto said = rest[0] == ':' ? read_port(rest.substr(1)) : std::nullopt;
    if (!said) return refused;
    port = *said;
  }
  const std::string shown = is_v6(host) ? "[" + std::string(host) + "]" : std::string(host);
  return shown + ":" + std::to_string(port);
}

}  // namespace macrovpn::shell
