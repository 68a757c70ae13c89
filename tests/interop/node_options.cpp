#include "node_options.h"

#include <charconv>
#include <fstream>

#include "crypto/x25519.h"

namespace macrovpn::interop {
namespace {

using encryption::ConfiguredPeer;

Result<ByteArray<32>> parse_key(const std::string& text) {
  const auto bytes = from_base64(text);
  const auto key = bytes ? to_array<32>(*bytes) : std::nullopt;
  if (!key) return fail("a key is 32 bytes in base64");
  return *key;
}

Result<KeyPair> read_private_key(const std::string& file_or_text) {
  std::string text = file_or_text;
  if (std::ifstream file(file_or_text); file) file >> text;
  TRY(const ByteArray<32> key, parse_key(text));
  return crypto::x25519_from_secret(PrivateKey(key));
}

template <class T>
Result<T> parse_number(const std::string& text) {
  T out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size())
    return fail("not a number that fits: " + text);
  return out;
}

Result<shell::InterfaceAddress> parse_interface_address(const std::string& text) {
  const auto address = IpAddress::parse(text.substr(0, text.find('/')));
  const auto prefix = IpPrefix::parse(text);
  if (!address || !prefix) return fail("not an address with a prefix length: " + text);
  return shell::InterfaceAddress{*address, prefix->length};
}

Result<std::vector<IpPrefix>> parse_prefixes(const std::string& text) {
  std::vector<IpPrefix> out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const auto prefix = IpPrefix::parse(text.substr(at, end - at));
    if (!prefix) return fail("not a list of prefixes: " + text);
    out.push_back(*prefix);
    at = end + 1;
  }
  return out;
}

Result<void> set_of_node(NodeOptions& o, const std::string& option, const std::string& value) {
  if (option == "--ifname") {
    o.ifname = value;
  } else if (option == "--private-key") {
    TRY(o.self, read_private_key(value));
  } else if (option == "--listen") {
    TRY(o.listen_port, parse_number<uint16_t>(value));
  } else if (option == "--mtu") {
    TRY(o.mtu, parse_number<unsigned>(value));
  } else if (option == "--load-threshold") {
    TRY(o.limits.load_threshold, parse_number<unsigned>(value));
  } else if (option == "--address") {
    TRY(const shell::InterfaceAddress address, parse_interface_address(value));
    o.addresses.push_back(address);
  } else if (option == "--peer") {
    TRY(const ByteArray<32> key, parse_key(value));
    o.peers.push_back({PublicKey{key}, {}, {}, {}});
  } else {
    return fail("unknown option " + option + ", or one of a peer before any --peer");
  }
  return {};
}

enum class Taken : uint8_t { no, yes };

Result<Taken> set_of_peer(ConfiguredPeer& p, const std::string& option, const std::string& value) {
  if (option == "--psk") {
    TRY(const ByteArray<32> key, parse_key(value));
    p.preshared = Secret<32>(key);
  } else if (option == "--endpoint") {
    const auto endpoint = Endpoint::parse(value);
    if (!endpoint) return fail("not an endpoint: " + value);
    p.route = Route::udp(kListenSocket, *endpoint, kPlain);
  } else if (option == "--allowed") {
    TRY(p.allowed_ips, parse_prefixes(value));
  } else if (option == "--keepalive") {
    TRY(const unsigned seconds, parse_number<unsigned>(value));
    p.persistent_keepalive = std::chrono::seconds(seconds);
  } else {
    return Taken::no;
  }
  return Taken::yes;
}

}  // namespace

Result<NodeOptions> parse_options(const std::vector<std::string>& words) {
  NodeOptions o;
  if (words.size() % 2 != 0) return fail("every option has one value");
  for (size_t i = 0; i < words.size(); i += 2) {
    Taken taken = Taken::no;
    if (!o.peers.empty()) {
      TRY(taken, set_of_peer(o.peers.back(), words[i], words[i + 1]));
    }
    if (taken == Taken::no) TRY_VOID(set_of_node(o, words[i], words[i + 1]));
  }
  if (o.ifname.empty() || o.self.secret.is_zero()) return fail("--ifname and --private-key are needed");
  for (ConfiguredPeer& p : o.peers) p.mtu = o.mtu;
  return o;
}

}  // namespace macrovpn::interop
