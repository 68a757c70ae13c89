#include "shell/wireguard/uapi.h"

#include <cerrno>
#include <charconv>
#include <limits>

namespace macrovpn::shell::uapi {
namespace {

constexpr std::string_view kGet = "get=1\n", kSet = "set=1\n", kCounters = "counters=1\n\n";

Refusal invalid(const std::string& why) {
  return {EINVAL, why};
}

template <class T>
std::optional<T> number(std::string_view s) {
  T v{};
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (error != std::errc() || end != s.data() + s.size()) return std::nullopt;
  return v;
}

std::optional<ByteArray<32>> key_of(std::string_view s) {
  if (s.size() != 64) return std::nullopt;
  auto bytes = from_hex(s);
  const auto out = bytes ? to_array<32>(*bytes) : std::nullopt;
  if (bytes) wipe(bytes->data(), bytes->size());
  return out;
}

// One line at a time into the changes; a sentence if the line cannot be.
class SetParser {
 public:
  explicit SetParser(SetRequest& out) : out_(out) {}

  Refusal take(std::string_view line) {
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) return {EPROTO, "a line has no '='"};
    const std::string_view key = line.substr(0, equals), value = line.substr(equals + 1);
    if (key == "public_key") return select(value);
    return in_peer_ ? of_peer(key, value) : of_device(key, value);
  }

 private:
  Refusal put(Change c) {
    out_.changes.push_back(std::move(c));
    return {};
  }
  Refusal flag(std::string_view key, std::string_view value, Change c) {
    return value == "true" ? put(std::move(c)) : invalid(std::string(key) + " can only be true");
  }

  Refusal select(std::string_view value) {
    const auto key = key_of(value);
    if (!key) return invalid("public_key is not 64 hexadecimal digits");
    in_peer_ = true;
    return put(SelectPeer{{*key}});
  }

  Refusal of_device(std::string_view key, std::string_view value) {
    if (key == "private_key") {
      const auto k = key_of(value);
      return k ? put(SetPrivateKey{PrivateKey(*k)}) : invalid("private_key is not 64 hexadecimal digits");
    }
    if (key == "listen_port") {
      const auto port = number<uint16_t>(value);
      return port ? put(SetListenPort{*port}) : invalid("listen_port is not a number from 0 to 65535");
    }
    if (key == "fwmark") {
      const auto mark = number<uint32_t>(value);
      return mark ? put(SetFwmark{*mark}) : invalid("fwmark is not a number of 32 bits");
    }
    if (key == "replace_peers") return flag(key, value, ReplacePeers{});
    return invalid("a key of the device is unknown");
  }

  Refusal of_peer(std::string_view key, std::string_view value) {
    if (key == "allowed_ip") return allowed_ip(value);
    if (key == "preshared_key") {
      const auto k = key_of(value);
      return k ? put(SetPresharedKey{Secret<32>(*k)}) : invalid("preshared_key is not 64 hexadecimal digits");
    }
    if (key == "endpoint") {
      const auto e = Endpoint::parse(value);
      if (e) return put(SetEndpoint{*e});
      const bool scope = value.find('%') != std::string_view::npos;
      return invalid(scope ? "an endpoint has a scope; link-local addresses cannot be endpoints here"
                           : "endpoint is not ADDRESS:PORT or [ADDRESS]:PORT");
    }
    if (key == "persistent_keepalive_interval") {
      const auto n = number<uint16_t>(value);
      return n ? put(SetKeepalive{std::chrono::seconds(*n)})
               : invalid("persistent_keepalive_interval is not a number from 0 to 65535");
    }
    if (key == "update_only") return flag(key, value, UpdateOnly{});
    if (key == "remove") return flag(key, value, RemovePeer{});
    if (key == "replace_allowed_ips") return flag(key, value, ReplaceAllowedIps{});
    if (key == "protocol_version")
      return value == "1" ? Refusal{} : invalid("protocol_version is not 1: this device speaks no other");
    return invalid("a key of a peer is unknown");
  }

  Refusal allowed_ip(std::string_view value) {
    const bool taken_away = value.starts_with('-');
    if (taken_away) value.remove_prefix(1);
    const auto prefix = value.find('/') == std::string_view::npos ? std::nullopt : IpPrefix::parse(value);
    if (!prefix) return invalid("allowed_ip is not ADDRESS/LENGTH");
    return taken_away ? put(DisallowIp{*prefix}) : put(AllowIp{*prefix});
  }

  SetRequest& out_;
  bool in_peer_ = false;
};

void line(std::string& out, std::string_view key, std::string_view value) {
  out.append(key).append("=").append(value).append("\n");
}
void line(std::string& out, std::string_view key, uint64_t value) {
  line(out, key, std::to_string(value));
}

void print_peer(const PeerState& p, std::string& out) {
  line(out, "public_key", to_hex(p.key.bytes));
  line(out, "preshared_key", to_hex(p.preshared.reveal()));
  line(out, "protocol_version", 1);
  if (p.endpoint) line(out, "endpoint", p.endpoint->reveal());
  const Duration at = p.last_handshake ? p.last_handshake->time_since_epoch() : Duration::zero();
  line(out, "last_handshake_time_sec", static_cast<uint64_t>(at / 1s));
  line(out, "last_handshake_time_nsec", static_cast<uint64_t>((at % 1s).count()));
  line(out, "tx_bytes", p.tx_bytes);
  line(out, "rx_bytes", p.rx_bytes);
  line(out, "persistent_keepalive_interval", static_cast<uint64_t>(p.persistent_keepalive.count()));
  for (const IpPrefix& prefix : p.allowed_ips) line(out, "allowed_ip", prefix.reveal());
}

}  // namespace

Request next_request(std::string_view text, size_t searched, More more) {
  const size_t first = text.find('\n');
  if (first == std::string_view::npos) {
    // The longest first line that means anything.
    return {text.size() > kCounters.size() ? Operation::unknown : Operation::incomplete, {}, 0};
  }
  if (text.starts_with(kSet)) {
    // A blank line: the set's first line ends in a line break, so it may follow at once.
    const size_t end = text.find("\n\n", std::max(searched, kSet.size()) - 1);
    if (end != std::string_view::npos)
      return {Operation::set, text.substr(kSet.size(), end + 1 - kSet.size()), end + 2};
    if (more == More::none) return {Operation::set, text.substr(kSet.size()), text.size()};
    return {};
  }
  if (text.starts_with(kGet)) {
    if (text.size() == kGet.size()) return {};
    const bool good = text[kGet.size()] == '\n';
    return {good ? Operation::get : Operation::bad_get, {}, kGet.size() + 1};
  }
  if (text.starts_with(kCounters)) return {Operation::counters, {}, kCounters.size()};
  return {kCounters.starts_with(text) ? Operation::incomplete : Operation::unknown, {}, 0};
}

SetRequest parse_set(std::string_view body) {
  SetRequest out;
  SetParser parser(out);
  while (!body.empty() && out.refusal.number == 0) {
    const size_t end = std::min(body.find('\n'), body.size());
    out.refusal = parser.take(body.substr(0, end));
    body.remove_prefix(std::min(end + 1, body.size()));
  }
  return out;
}

std::string print(const DeviceState& d) {
  std::string out;
  if (!d.private_key.is_zero()) line(out, "private_key", to_hex(d.private_key.reveal()));
  if (d.listen_port != 0) line(out, "listen_port", d.listen_port);
  if (d.fwmark != 0) line(out, "fwmark", d.fwmark);
  for (const PeerState& p : d.peers) print_peer(p, out);
  return out;
}

std::string print(const Counters& counters) {
  std::string out;
  for (const auto& [name, count] : counters) line(out, name, count);
  return out;
}

std::string print_errno(int number) {
  return "errno=" + std::to_string(-number) + "\n\n";
}

}  // namespace macrovpn::shell::uapi
