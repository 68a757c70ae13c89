#include "core/discovery/body.h"

#include <bit>

#include "core/discovery/details.h"
#include "crypto/x25519.h"

namespace macrovpn::discovery {
namespace {

constexpr size_t kV4Size = 1 + 4 + 2;
constexpr size_t kV6Size = 1 + 16 + 2;
constexpr int64_t kHour = 3600;

void put(Writer& w, Tag tag, Bytes value) {
  MV_ASSERT(value.size() <= 255);
  w.u8(static_cast<uint8_t>(tag)).u8(static_cast<uint8_t>(value.size())).bytes(value);
}

std::vector<uint8_t> encode_endpoints(const std::vector<Endpoint>& endpoints) {
  MV_ASSERT(!endpoints.empty() && endpoints.size() <= kMaxRelayEndpoints);
  std::vector<uint8_t> out;
  Writer w(out);
  for (const Endpoint& e : endpoints) {
    w.u8(static_cast<uint8_t>(e.address.family())).bytes(e.address.bytes()).le16(e.port);
  }
  return out;
}

template <size_t N, class F>
ByteArray<N> stored(F store, auto value) {
  ByteArray<N> out;
  store(out.data(), value);
  return out;
}

Failure<Error> malformed(const char* what) {
  return fail(std::string("the descriptor is malformed (") + what + "); ask its relay for a new one");
}

Result<Endpoint> parse_endpoint(Reader& r) {
  const uint8_t family = r.u8();
  Endpoint e;
  if (family == 4) {
    e.address = IpAddress::v4(r.fixed<4>());
  } else if (family == 6) {
    e.address = IpAddress::v6(r.fixed<16>());
  } else {
    return malformed("an endpoint of an unknown kind");
  }
  e.port = r.le16();
  if (!r.ok()) return malformed("an endpoint is cut off");
  if (e.port == 0 || e.address.is_unspecified()) return malformed("an endpoint without address or port");
  return e;
}

Result<std::vector<Endpoint>> parse_endpoints(Bytes value) {
  static_assert(kMaxRelayEndpoints * kV6Size <= 255 && kV4Size < kV6Size);
  std::vector<Endpoint> out;
  Reader r(value);
  while (r.left() > 0) {
    if (out.size() == kMaxRelayEndpoints) return malformed("more than four endpoints");
    TRY(const Endpoint e, parse_endpoint(r));
    if (std::find(out.begin(), out.end(), e) != out.end()) return malformed("the same endpoint twice");
    out.push_back(e);
  }
  if (out.empty()) return malformed("no endpoint");
  return out;
}

bool is_country_code(Bytes b) {
  return std::all_of(b.begin(), b.end(), [](uint8_t c) { return c >= 'A' && c <= 'Z'; });
}

// The exact length of a field of a known tag; 0: it varies.  Unknown tags may have any length.
std::optional<size_t> length_of(Tag tag) {
  switch (tag) {
    case Tag::version:
      return 1;
    case Tag::network:
      return 8;
    case Tag::identity:
      return 32;
    case Tag::wireguard:
      return 32;
    case Tag::flags:
      return 2;
    case Tag::endpoints:
      return 0;
    case Tag::created:
      return 4;
    case Tag::region:
      return 2;
    case Tag::as_number:
      return 4;
    case Tag::bandwidth:
      return 1;
    case Tag::family:
      return 96;
  }
  return std::nullopt;
}

Result<void> parse_claim(Tag tag, Reader& r, Body& out) {
  switch (tag) {
    case Tag::region:
      out.relay.region.code = r.fixed<2>();
      if (!is_country_code(out.relay.region.code)) return malformed("a region that is no country code");
      return {};
    case Tag::as_number:
      out.relay.as_number = r.le32();
      if (out.relay.as_number == 0) return malformed("AS number zero");
      return {};
    case Tag::bandwidth:
      out.relay.bandwidth = decode_bandwidth(r.u8());
      return {};
    default:
      out.family = FamilyProof{{r.fixed<32>()}, r.fixed<64>()};
      return {};
  }
}

Result<void> parse_field(Tag tag, Bytes value, Body& out) {
  Reader r(value);
  switch (tag) {
    case Tag::version:
      if (r.u8() != kBodyVersion)
        return fail("the descriptor is of a version that this program does not know; update macrovpn");
      return {};
    case Tag::network:
      out.network.bytes = r.fixed<8>();
      return {};
    case Tag::identity:
      out.relay.identity.bytes = r.fixed<32>();
      return {};
    case Tag::wireguard:
      out.relay.wireguard.bytes = r.fixed<32>();
      if (crypto::is_low_order(out.relay.wireguard)) return malformed("a WireGuard key of low order");
      return {};
    case Tag::flags:
      out.relay.flags.bits = r.le16();
      return {};
    case Tag::endpoints: {
      TRY(out.relay.endpoints, parse_endpoints(value));
      return {};
    }
    case Tag::created: {
      const uint32_t seconds = r.le32();
      if (seconds % kHour != 0) return malformed("a creation time that is not rounded to the hour");
      out.relay.created = wall_from_unix(seconds);
      return {};
    }
    default:
      return parse_claim(tag, r, out);
  }
}

}  // namespace

uint8_t encode_bandwidth(Bandwidth b) {
  const uint64_t v = std::max<uint64_t>(b.bytes_per_second, 1);
  const unsigned e = static_cast<unsigned>(std::bit_width(v)) - 1;
  const uint64_t below = e >= 2 ? v >> (e - 2) : v << (2 - e);
  return static_cast<uint8_t>(4 * e + (below & 3));
}

Bandwidth decode_bandwidth(uint8_t code) {
  const unsigned e = code / 4;
  const uint64_t top = 4 + code % 4;
  return {e >= 2 ? top << (e - 2) : top >> (2 - e)};
}

std::vector<uint8_t> encode_body(const RelayInfo& relay, const NetworkId& network,
                                 const std::optional<FamilyProof>& family, const RelayDetails& details) {
  std::vector<uint8_t> out;
  Writer w(out);
  put(w, Tag::version, ByteArray<1>{kBodyVersion});
  put(w, Tag::network, network.bytes);
  put(w, Tag::identity, relay.identity.bytes);
  put(w, Tag::wireguard, relay.wireguard.bytes);
  put(w, Tag::flags, stored<2>(store_le16, relay.flags.bits));
  put(w, Tag::endpoints, encode_endpoints(relay.endpoints));
  const int64_t created = std::max<int64_t>(unix_seconds(relay.created), 0) / kHour * kHour;
  put(w, Tag::created, stored<4>(store_le32, static_cast<uint32_t>(created)));
  if (relay.region.known()) put(w, Tag::region, relay.region.code);
  if (relay.as_number != 0) put(w, Tag::as_number, stored<4>(store_le32, relay.as_number));
  if (relay.bandwidth.bytes_per_second != 0) {
    put(w, Tag::bandwidth, ByteArray<1>{encode_bandwidth(relay.bandwidth)});
  }
  if (family) {
    std::vector<uint8_t> proof;
    Writer(proof).bytes(family->family.bytes).bytes(family->signature);
    put(w, Tag::family, proof);
  }
  encode_details(details, out);
  return out;
}

Result<Body> parse_body(Bytes bytes) {
  if (bytes.size() > kMaxBody) return malformed("larger than 1024 bytes");
  Body out;
  Reader r(bytes);
  unsigned last = 0;
  unsigned required = 0;  // how many of the tags 1..7 came; each at most once, as tags ascend
  while (r.left() > 0) {
    const uint8_t tag = r.u8();
    const Bytes value = r.take(r.u8());
    if (!r.ok()) return malformed("a field is cut off");
    if (tag <= last) return malformed("fields out of order or twice");
    last = tag;
    if (tag >= kFirstDetail && tag <= kLastDetail) {
      if (!parse_detail(static_cast<DetailTag>(tag), value, out.details)) return malformed("a field that means nothing");
      continue;
    }
    const auto length = length_of(static_cast<Tag>(tag));
    if (!length) continue;
    if (*length != 0 && value.size() != *length) return malformed("a field of the wrong length");
    TRY_VOID(parse_field(static_cast<Tag>(tag), value, out));
    if (tag <= static_cast<uint8_t>(Tag::created)) required++;
  }
  if (required != static_cast<unsigned>(Tag::created)) return malformed("a required field is missing");
  out.relay.introducers = out.details.introducers;
  return out;
}

}  // namespace macrovpn::discovery
