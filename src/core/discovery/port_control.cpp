#include "core/discovery/port_control.h"

namespace macrovpn::discovery::port_control {
namespace {

constexpr uint8_t kAnswer = 0x80, kUdp = 17;
constexpr uint8_t kPcpAnnounce = 0, kPcpMap = 1, kPmpAddress = 0, kPmpMapUdp = 1;

ByteArray<16> as_v6(const IpAddress& a) {
  ByteArray<16> out{};
  if (a.is_v4()) {
    out[10] = out[11] = 0xff;
    std::copy(a.bytes().begin(), a.bytes().end(), out.begin() + 12);
  } else {
    std::copy(a.bytes().begin(), a.bytes().end(), out.begin());
  }
  return out;
}

IpAddress from_v6(const ByteArray<16>& b) {
  constexpr ByteArray<12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(kMapped.begin(), kMapped.end(), b.begin())) return IpAddress::v4(load_be32(&b[12]));
  return IpAddress::v6(b);
}

// RFC 6887 §7.2, §11.1
std::optional<Told> read_pcp(Reader& r) {
  Told t;
  const uint8_t op = r.u8();
  r.u8();
  t.result = r.u8();
  t.lifetime = r.be32();
  t.epoch = r.be32();
  r.take(12);
  if (!r.ok() || (op & kAnswer) == 0) return std::nullopt;
  const bool is_map = op == (kAnswer | kPcpMap);
  t.what = t.result != 0 ? Told::What::refusal : is_map ? Told::What::mapping : Told::What::announce;
  t.of_mapping = is_map;
  if (!is_map) return op == (kAnswer | kPcpAnnounce) || t.result != 0 ? std::optional(t) : std::nullopt;
  // A server that does not know the version may leave the rest out.
  if (r.left() == 0 && t.result == kUnsupportedVersion) return t;
  t.nonce = r.fixed<12>();
  const uint8_t protocol = r.u8();
  r.take(3);
  t.inside_port = r.be16();
  t.outside_port = r.be16();
  t.outside = from_v6(r.fixed<16>());
  if (!r.ok() || protocol != kUdp) return std::nullopt;
  return t;
}

// RFC 6886 §3.2, §3.3
std::optional<Told> read_nat_pmp(Reader& r) {
  Told t;
  t.protocol = Protocol::nat_pmp;
  const uint8_t op = r.u8();
  t.result = r.be16();
  t.epoch = r.be32();
  if (!r.ok() || (op & kAnswer) == 0) return std::nullopt;
  t.of_mapping = op == (kAnswer | kPmpMapUdp);
  if (t.result != 0) return t;
  if (op == (kAnswer | kPmpAddress)) {
    t.what = Told::What::address;
    t.outside = IpAddress::v4(r.fixed<4>());
  } else if (op == (kAnswer | kPmpMapUdp)) {
    t.what = Told::What::mapping;
    t.inside_port = r.be16();
    t.outside_port = r.be16();
    t.lifetime = r.be32();
  } else {
    return std::nullopt;
  }
  return r.ok() ? std::optional(t) : std::nullopt;
}

}  // namespace

std::vector<uint8_t> write_pcp_map(const Wish& w) {
  std::vector<uint8_t> out;
  // No wish for an outside address: zeros of its family.
  const IpAddress any = w.inside_address.is_v4() ? IpAddress() : IpAddress::v6(ByteArray<16>{});
  Writer(out).u8(2).u8(kPcpMap).be16(0).be32(w.lifetime).bytes(as_v6(w.inside_address)).bytes(w.nonce).u8(kUdp).zeros(3)
      .be16(w.inside_port).be16(w.wanted_port).bytes(as_v6(any));
  return out;
}

std::vector<uint8_t> write_pcp_announce(const IpAddress& inside_address) {
  std::vector<uint8_t> out;
  Writer(out).u8(2).u8(kPcpAnnounce).be16(0).be32(0).bytes(as_v6(inside_address));
  return out;
}

std::vector<uint8_t> write_nat_pmp_map(const Wish& w) {
  std::vector<uint8_t> out;
  Writer(out).u8(0).u8(kPmpMapUdp).be16(0).be16(w.inside_port).be16(w.lifetime == 0 ? 0 : w.wanted_port).be32(w.lifetime);
  return out;
}

std::vector<uint8_t> write_nat_pmp_address() {
  return {0, kPmpAddress};
}

std::optional<Told> read(Bytes message) {
  if (message.size() > kMaxMessage) return std::nullopt;
  Reader r(message);
  const uint8_t version = r.u8();
  if (!r.ok()) return std::nullopt;
  if (version == static_cast<uint8_t>(Protocol::pcp)) return read_pcp(r);
  if (version == static_cast<uint8_t>(Protocol::nat_pmp)) return read_nat_pmp(r);
  return std::nullopt;
}

}  // namespace macrovpn::discovery::port_control
