#include "shell/config/network_file.h"

#include <algorithm>

#include "crypto/hash.h"
#include "model/relay.h"
#include "shell/config/atomic_file.h"
#include "shell/config/toml_text.h"

namespace macrovpn::shell {
namespace {

constexpr std::string_view kLabel = "macrovpn network 1";
constexpr std::string_view kWithoutSeeds = "without_seeds";
constexpr std::string_view kSignatureKey = "signature = \"";
constexpr size_t kMaxFile = 64 * 1024;
constexpr size_t kMaxSeeds = 256, kMaxRanges = 64, kMaxName = 64;

using Complaint = std::optional<std::string>;

struct Field {
  std::string_view key;
  Complaint (*read)(Network&, const TomlValue&);
};

template <class T>
Complaint number(T& out, const TomlValue& v, int64_t low, int64_t high) {
  const auto* n = std::get_if<int64_t>(&v);
  if (n == nullptr || *n < low || *n > high)
    return "must be a number from " + std::to_string(low) + " to " + std::to_string(high);
  out = static_cast<T>(*n);
  return {};
}

template <class T, class Parse>
Complaint list(std::vector<T>& out, const TomlValue& v, size_t limit, Parse parse, const char* what) {
  const auto* texts = std::get_if<std::vector<std::string>>(&v);
  if (texts == nullptr || texts->size() > limit)
    return "must be a list of at most " + std::to_string(limit) + " " + what;
  for (const std::string& t : *texts) {
    const auto item = parse(t);
    if (!item) return std::string("must hold ") + what;
    out.push_back(*item);
  }
  return {};
}

bool is_printable(std::string_view s) {
  return std::all_of(s.begin(), s.end(), [](char c) { return c >= ' ' && c != 0x7f; });
}

Complaint read_version(Network&, const TomlValue& v) {
  int64_t version = 0;
  return number(version, v, 1, 2)
             ? Complaint("is of a version that this program does not know; update macrovpn")
             : Complaint();
}

Complaint read_name(Network& n, const TomlValue& v) {
  const auto* text = std::get_if<std::string>(&v);
  if (text == nullptr || text->empty() || text->size() > kMaxName || !is_printable(*text))
    return "must be a text of 1 to 64 characters";
  n.name = *text;
  return {};
}

Complaint read_key(Network& n, const TomlValue& v) {
  const auto* text = std::get_if<std::string>(&v);
  const auto bytes = text != nullptr ? from_base64(*text) : std::nullopt;
  const auto key = bytes ? to_array<32>(*bytes) : std::nullopt;
  if (!key) return "must be a key: 32 bytes in base64";
  n.key = {*key};
  n.id = network_id_of(n.key);
  return {};
}

Complaint read_guard_age(Network& n, const TomlValue& v) {
  int64_t seconds = 0;
  if (auto c = number(seconds, v, 0, 365 * 86400)) return c;
  n.guard_age = std::chrono::seconds(seconds);
  return {};
}

Complaint read_signed_at(Network& n, const TomlValue& v) {
  int64_t seconds = 0;
  if (auto c = number(seconds, v, 0, UINT32_MAX)) return c;
  n.signed_at = wall_from_unix(seconds);
  return {};
}

// Those of version 1 are addresses without keys: nobody would know who answers there.
Complaint read_seeds(Network& n, const TomlValue& v) {
  const auto* texts = std::get_if<std::vector<std::string>>(&v);
  if (texts != nullptr && texts->size() <= kMaxSeeds && std::all_of(texts->begin(), texts->end(), [](const auto& t) { return Endpoint::parse(t); }))
    return {};
  return list(n.seeds, v, kMaxSeeds, parse_seed, "seeds like \"IDENTITY WIREGUARD 192.0.2.1:51820\", with keys in base64");
}

// All required but signed_at of version 1, all in this order in what we write.
constexpr Field kFields[] = {
    {"version", read_version},
    {"signed_at", read_signed_at},
    {"name", read_name},
    {"key", read_key},
    {"pow_bits", [](Network& n, const TomlValue& v) { return number(n.pow_bits, v, 0, 40); }},
    {"max_per_v4_24", [](Network& n, const TomlValue& v) { return number(n.max_per_v4_24, v, 1, 25000); }},
    {"max_per_v4_16", [](Network& n, const TomlValue& v) { return number(n.max_per_v4_16, v, 1, 25000); }},
    {"max_per_v6_48", [](Network& n, const TomlValue& v) { return number(n.max_per_v6_48, v, 1, 25000); }},
    {"max_per_v6_32", [](Network& n, const TomlValue& v) { return number(n.max_per_v6_32, v, 1, 25000); }},
    {"diversity_v4", [](Network& n, const TomlValue& v) { return number(n.diversity_v4, v, 0, 32); }},
    {"diversity_v6", [](Network& n, const TomlValue& v) { return number(n.diversity_v6, v, 0, 128); }},
    {"guard_age_seconds", read_guard_age},
    {"seeds", read_seeds},
    {"extra_global",
     [](Network& n, const TomlValue& v) {
       return list(n.extra_global, v, kMaxRanges, IpPrefix::parse, "ranges like \"192.0.2.0/24\"");
     }},
};

template <class T>
TomlValue texts(const std::vector<T>& items) {
  std::vector<std::string> out;
  for (const T& i : items) out.push_back(i.reveal());
  return out;
}

std::vector<uint8_t> signed_bytes(std::string_view body) {
  std::vector<uint8_t> out;
  Writer(out).bytes(as_bytes(kLabel)).bytes(as_bytes(body));
  return out;
}

struct SignedText {
  std::string_view body;
  crypto::Signature signature;
};

Result<SignedText> split(std::string_view text, const std::string& file) {
  const auto cut = fail(file + ": the signature line at the end is missing; get the whole file again");
  if (!text.ends_with("\"\n")) return cut;
  const size_t start = text.rfind('\n', text.size() - 2) + 1;  // npos + 1 is 0
  const std::string_view line = text.substr(start);
  if (!line.starts_with(kSignatureKey)) return cut;
  const auto bytes = from_base64(line.substr(kSignatureKey.size(), line.size() - kSignatureKey.size() - 2));
  const auto signature = bytes ? to_array<64>(*bytes) : std::nullopt;
  if (!signature) return cut;
  return SignedText{text.substr(0, start), *signature};
}

std::string rules_text(const Network& n) {
  std::vector<std::string> seeds;
  for (const Seed& s : n.seeds) seeds.push_back(to_text(s));
  const std::pair<const char*, TomlValue> rows[] = {
      {"version", int64_t{2}},
      {"signed_at", unix_seconds(n.signed_at)},
      {"name", n.name},
      {"key", to_base64(n.key.bytes)},
      {"pow_bits", int64_t{n.pow_bits}},
      {"max_per_v4_24", int64_t{n.max_per_v4_24}},
      {"max_per_v4_16", int64_t{n.max_per_v4_16}},
      {"max_per_v6_48", int64_t{n.max_per_v6_48}},
      {"max_per_v6_32", int64_t{n.max_per_v6_32}},
      {"diversity_v4", int64_t{n.diversity_v4}},
      {"diversity_v6", int64_t{n.diversity_v6}},
      {"guard_age_seconds", int64_t{std::chrono::duration_cast<std::chrono::seconds>(n.guard_age).count()}},
      {"extra_global", texts(n.extra_global)},
      {"seeds", seeds},
  };
  std::string body =
      "# A Macro VPN network: the rules that all its nodes share.  Signed; change it with `macrovpn network "
      "sign`.\n";
  for (const auto& [name, value] : rows) body += std::string(name) + " = " + to_toml(value) + "\n";
  return body;
}

std::string with_signature(const std::string& body, const crypto::Signature& signature) {
  return body + std::string(kSignatureKey) + to_base64(signature) + "\"\n";
}

Result<Network> read_fields(const std::vector<TomlEntry>& entries, const std::string& file) {
  Network n;
  n.seeds.clear();
  bool old = false, dated = false;
  size_t rules = 0;
  for (const TomlEntry& e : entries) {
    if (e.key == kWithoutSeeds) continue;
    rules++;
    old |= e.key == "version" && e.value == TomlValue(int64_t{1});
    dated |= e.key == "signed_at";
    const auto* field =
        std::find_if(std::begin(kFields), std::end(kFields), [&](const Field& f) { return f.key == e.key; });
    if (field == std::end(kFields))
      return toml_error(file, e.line,
                        "unknown rule '" + e.key + "': this network needs a newer macrovpn; update it");
    if (const Complaint c = field->read(n, e.value)) return toml_error(file, e.line, "'" + e.key + "' " + *c);
  }
  // Keys are distinct in TOML, and all were known.
  if (rules != std::size(kFields) - (old ? 1 : 0) || old == dated)
    return fail(file + ": a rule is missing; get the whole file again");
  return n;
}

}  // namespace

NetworkId network_id_of(const IdentityKey& key) {
  const auto hash = crypto::blake2b_256({as_bytes("macrovpn network id 1"), key.bytes});
  NetworkId id;
  std::copy_n(hash.begin(), id.bytes.size(), id.bytes.begin());
  return id;
}

std::string to_text(const Seed& s) {
  std::string out = to_base64(s.identity.bytes) + " " + to_base64(s.wireguard.bytes);
  for (const Endpoint& e : s.endpoints) out += " " + e.reveal();
  return out;
}

std::optional<Seed> parse_seed(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (end != 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (words.size() < 3 || words.size() > 2 + kMaxRelayEndpoints) return std::nullopt;
  const auto key = [](std::string_view w) {
    const auto bytes = from_base64(w);
    return bytes ? to_array<32>(*bytes) : std::nullopt;
  };
  const auto identity = key(words[0]), wireguard = key(words[1]);
  if (!identity || !wireguard) return std::nullopt;
  Seed s{{*identity}, {*wireguard}, {}};
  for (size_t i = 2; i < words.size(); i++) {
    const auto e = Endpoint::parse(words[i]);
    if (!e || std::find(s.endpoints.begin(), s.endpoints.end(), *e) != s.endpoints.end()) return std::nullopt;
    s.endpoints.push_back(*e);
  }
  return s;
}

std::string network_file_of(const Network& n, const crypto::Signature& signature) {
  Network bare = n;
  bare.seeds.clear();
  return with_signature(rules_text(bare), signature);
}

std::string sign_network_file(const Network& n, const crypto::SigningKey& key) {
  Network signed_by = n;
  signed_by.key = key.pub;
  std::string body = rules_text(signed_by);
  if (!n.seeds.empty()) {
    signed_by.seeds.clear();
    const auto bare = crypto::ed25519_sign(key, signed_bytes(rules_text(signed_by)));
    body += std::string(kWithoutSeeds) + " = \"" + to_base64(bare) + "\"\n";
  }
  return with_signature(body, crypto::ed25519_sign(key, signed_bytes(body)));
}

std::optional<crypto::Signature> signature_without_seeds(std::string_view text) {
  const auto n = parse_network_file(text, "network file");
  const auto parts = split(text, "");
  if (!n.ok() || !parts.ok()) return std::nullopt;
  crypto::Signature signature = parts->signature;
  const auto entries = read_toml(parts->body, "");
  for (const TomlEntry& e : *entries) {
    const auto* value = e.key == kWithoutSeeds ? std::get_if<std::string>(&e.value) : nullptr;
    const auto bytes = value != nullptr ? from_base64(*value) : std::nullopt;
    if (const auto found = bytes ? to_array<64>(*bytes) : std::nullopt) signature = *found;
  }
  return parse_network_file(network_file_of(*n, signature), "").ok() ? std::optional(signature) : std::nullopt;
}

Result<Network> parse_network_file(std::string_view text, const std::string& file) {
  TRY(const SignedText parts, split(text, file));
  TRY(const auto entries, read_toml(parts.body, file));
  TRY(Network n, read_fields(entries, file));
  if (!crypto::ed25519_verify(n.key, signed_bytes(parts.body), parts.signature))
    return fail(file + ": the signature is wrong, so the file was changed after it was made; get it again");
  return n;
}

Result<Network> read_network_file(const std::string& path) {
  TRY(const std::vector<uint8_t> bytes, read_own_file(path, kMaxFile));
  return parse_network_file({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

}  // namespace macrovpn::shell
