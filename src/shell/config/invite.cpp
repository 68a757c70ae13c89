#include "shell/config/invite.h"

#include <algorithm>

#include "crypto/hash.h"
#include "shell/config/network_file.h"

namespace macrovpn::shell {
namespace {

constexpr std::string_view kScheme = "macrovpn:";
constexpr uint8_t kVersion = 1;
constexpr size_t kChecksum = 4;
constexpr size_t kMaxRanges = 64;

ByteArray<kChecksum> checksum_of(Bytes b) {
  const auto hash = crypto::blake2b_256({as_bytes("macrovpn invite 1"), b});
  return *to_array<kChecksum>(Bytes(hash).first(kChecksum));
}

void put_address(Writer& w, const IpAddress& a) { w.u8(a.is_v4() ? 4 : 6); }

void put_relay(Writer& w, const Seed& s) {
  const size_t endpoints = std::min(s.endpoints.size(), kInviteEndpoints);
  w.bytes(s.identity.bytes).bytes(s.wireguard.bytes).u8(static_cast<uint8_t>(endpoints));
  for (size_t i = 0; i < endpoints; i++) {
    put_address(w, s.endpoints[i].address);
    w.bytes(s.endpoints[i].address.bytes()).le16(s.endpoints[i].port);
  }
}

void put_rules(Writer& w, const Network& n) {
  w.le32(static_cast<uint32_t>(unix_seconds(n.signed_at))).bytes(n.key.bytes).u8(static_cast<uint8_t>(n.pow_bits));
  for (const unsigned most : {n.max_per_v4_24, n.max_per_v4_16, n.max_per_v6_48, n.max_per_v6_32}) w.le16(static_cast<uint16_t>(most));
  w.u8(static_cast<uint8_t>(n.diversity_v4)).u8(static_cast<uint8_t>(n.diversity_v6));
  w.le32(static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(n.guard_age).count()));
  w.u8(static_cast<uint8_t>(n.name.size())).bytes(as_bytes(n.name)).u8(static_cast<uint8_t>(n.extra_global.size()));
  for (const IpPrefix& p : n.extra_global) {
    put_address(w, p.address);
    w.u8(p.length).bytes(p.address.bytes());
  }
}

// 0.0.0.0 where the family is none: the values are checked as a whole, by the signature or the caller.
IpAddress take_address(Reader& r, uint8_t family) {
  return family == 6 ? IpAddress::v6(r.fixed<16>()) : IpAddress::v4(r.fixed<4>());
}

Network take_rules(Reader& r) {
  Network n;
  n.signed_at = wall_from_unix(r.le32());
  n.key = {r.fixed<32>()};
  n.id = network_id_of(n.key);
  n.pow_bits = r.u8();
  for (unsigned* most : {&n.max_per_v4_24, &n.max_per_v4_16, &n.max_per_v6_48, &n.max_per_v6_32}) *most = r.le16();
  n.diversity_v4 = r.u8();
  n.diversity_v6 = r.u8();
  n.guard_age = std::chrono::seconds(r.le32());
  const Bytes name = r.take(r.u8());
  n.name.assign(name.begin(), name.end());
  const size_t ranges = std::min<size_t>(r.u8(), kMaxRanges);
  for (size_t i = 0; i < ranges && r.ok(); i++) {
    const uint8_t family = r.u8(), length = r.u8();
    n.extra_global.push_back(IpPrefix::of(take_address(r, family), std::min<unsigned>(length, family == 6 ? 128 : 32)));
  }
  return n;
}

std::optional<Seed> take_relay(Reader& r) {
  Seed s{{r.fixed<32>()}, {r.fixed<32>()}, {}};
  const uint8_t endpoints = r.u8();
  if (endpoints == 0 || endpoints > kInviteEndpoints) return std::nullopt;
  for (uint8_t i = 0; i < endpoints; i++) {
    const uint8_t family = r.u8();
    if (family != 4 && family != 6) return std::nullopt;
    const IpAddress a = take_address(r, family);
    s.endpoints.push_back({a, r.le16()});
  }
  return r.ok() ? std::optional(s) : std::nullopt;
}

std::optional<std::vector<uint8_t>> from_base64url(std::string text) {
  if (text.find_first_of("+/=") != std::string::npos) return std::nullopt;
  std::replace(text.begin(), text.end(), '-', '+');
  std::replace(text.begin(), text.end(), '_', '/');
  text.resize((text.size() + 3) / 4 * 4, '=');
  return from_base64(text);
}

Failure<Error> wrong(const std::string& what) { return fail("this invite " + what + "; ask for the link again and paste all of it"); }

// The bytes between size and checksum, which were checked.
Result<std::vector<uint8_t>> bytes_of(std::string_view text) {
  std::string bare;
  std::copy_if(text.begin(), text.end(), std::back_inserter(bare), [](char c) { return c > ' '; });
  if (!bare.starts_with(kScheme)) return wrong("does not begin with \"macrovpn:\"");
  bare.erase(0, kScheme.size());
  if (bare.size() > 4 * kMaxInviteText) return wrong("is far too long");
  // A last character alone stands for no byte.
  auto bytes = from_base64url(bare.size() % 4 == 1 ? bare.substr(0, bare.size() - 1) : bare);
  for (size_t cut = 1; !bytes && cut < 4 && cut < bare.size(); cut++) bytes = from_base64url(bare.substr(0, (bare.size() - cut) / 4 * 4));
  if (!bytes) return wrong("was mistyped: there is a character in it that does not belong there");
  if (bytes->size() < 2 + 1 + kChecksum) return wrong("was cut off: it is only a beginning");
  const size_t size = load_le16(bytes->data());
  if (bytes->size() < size) return wrong("was cut off: " + std::to_string(((size - bytes->size()) * 4 + 2) / 3) + " characters are missing");
  const bool one_more = bare.size() != (bytes->size() * 4 + 2) / 3;
  if (one_more || bytes->size() != size || !equal(checksum_of(Bytes(*bytes).first(size - kChecksum)), Bytes(*bytes).last(kChecksum)))
    return wrong("was mistyped or changed on its way");
  return std::vector<uint8_t>(bytes->begin() + 2, bytes->end() - kChecksum);
}

}  // namespace

Result<std::string> to_link(const Invite& invite) {
  std::vector<uint8_t> bytes;
  Writer w(bytes);
  w.le16(0).u8(kVersion);
  put_rules(w, invite.network);
  const size_t relays = std::min(invite.relays.size(), kInviteRelays);
  w.bytes(invite.signature).u8(static_cast<uint8_t>(relays));
  for (size_t i = 0; i < relays; i++) put_relay(w, invite.relays[i]);
  store_le16(bytes.data(), static_cast<uint16_t>(bytes.size() + kChecksum));
  w.bytes(checksum_of(bytes));
  std::string text = to_base64(bytes);
  text.resize(std::min(text.find('='), text.size()));
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  text.insert(0, kScheme);
  if (text.size() > kMaxInviteText) return fail("this network has more rules than a link holds; give people the network file instead");
  return text;
}

Result<Invite> parse_invite(std::string_view text) {
  TRY(const std::vector<uint8_t> bytes, bytes_of(text));
  Reader r(bytes);
  if (r.u8() != kVersion) return fail("this invite is for a newer macrovpn; update it");
  Invite out;
  out.network = take_rules(r);
  out.signature = r.fixed<64>();
  const uint8_t relays = r.u8();
  if (relays > kInviteRelays) return wrong("is none that macrovpn makes");
  for (uint8_t i = 0; i < relays; i++) {
    const auto s = take_relay(r);
    if (!s) return wrong("is none that macrovpn makes");
    out.relays.push_back(*s);
  }
  if (!r.done()) return wrong("is none that macrovpn makes");
  // The values are judged as those of a file.
  TRY(out.network, parse_network_file(network_file_of(out.network, out.signature), "this invite"));
  return out;
}

bool looks_like_invite(std::string_view text) {
  while (!text.empty() && text.front() <= ' ') text.remove_prefix(1);
  return text.starts_with(kScheme);
}

}  // namespace macrovpn::shell
