// Packets made and read byte by byte, in the plainest way: what the offloads are held against.
#pragma once
#include <sys/uio.h>

#include <map>
#include <optional>
#include <vector>

#include "base/bytes.h"

namespace macrovpn::shell::testing {

enum class Kind : uint8_t { tcp4, tcp6, udp4, udp6 };
inline bool is_v4(Kind k) { return k == Kind::tcp4 || k == Kind::udp4; }
inline bool is_tcp(Kind k) { return k == Kind::tcp4 || k == Kind::tcp6; }
inline size_t ip_header_of(Kind k) { return is_v4(k) ? 20 : 40; }

struct InFlow {
  Kind kind = Kind::tcp4;
  uint16_t port = 4000;
  uint32_t sequence = 1;
  uint32_t acknowledgement = 99;
  uint16_t window = 500;
  uint32_t timestamp = 12;  // in TCP's options
  uint8_t flags = 0x10;
  uint16_t id = 1;
  uint8_t ttl = 64, tos = 0;
  uint32_t salt = 0;  // of the payload
};
struct Read : InFlow {
  std::vector<uint8_t> payload;
};

inline std::vector<uint8_t> payload_of(const InFlow& f, size_t n) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i < n; i++) out.push_back(static_cast<uint8_t>(i * 7 + i / 256 + f.salt));
  return out;
}

inline uint16_t slow_sum(Bytes data, uint64_t sum = 0) {
  for (size_t i = 0; i < data.size(); i++) sum += i % 2 == 0 ? uint64_t{data[i]} << 8 : data[i];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

inline uint16_t pseudo_sum(Bytes p, Kind k) {
  const size_t at = ip_header_of(k);
  return slow_sum(is_v4(k) ? p.subspan(12, 8) : p.subspan(8, 32), (is_tcp(k) ? 6u : 17u) + (p.size() - at));
}

inline size_t checksum_at(Kind k) { return ip_header_of(k) + (is_tcp(k) ? 16 : 6); }

inline void make_partial(std::vector<uint8_t>& p, Kind k) { store_be16(&p[checksum_at(k)], pseudo_sum(p, k)); }

inline std::vector<uint8_t> make_packet(const InFlow& f, size_t payload) {
  std::vector<uint8_t> p;
  Writer w(p);
  const size_t transport = is_tcp(f.kind) ? 32 : 8;
  const size_t size = ip_header_of(f.kind) + transport + payload;
  const auto protocol = static_cast<uint8_t>(is_tcp(f.kind) ? 6 : 17);
  if (is_v4(f.kind)) {
    w.u8(0x45).u8(f.tos).be16(static_cast<uint16_t>(size)).be16(f.id).be16(0).u8(f.ttl).u8(protocol).be16(0);
    w.be32(0xc0000201).be32(0xc6336402);
    store_be16(&p[10], static_cast<uint16_t>(~slow_sum(Bytes(p).first(20))));
  } else {
    w.u8(0x60).u8(static_cast<uint8_t>(f.tos << 4)).be16(0).be16(static_cast<uint16_t>(size - 40)).u8(protocol).u8(f.ttl);
    for (const uint8_t end : {uint8_t{1}, uint8_t{2}}) w.be32(0x20010db8).zeros(11).u8(end);
  }
  w.be16(f.port).be16(443);
  if (is_tcp(f.kind)) {
    w.be32(f.sequence).be32(f.acknowledgement).u8(0x80).u8(f.flags).be16(f.window).be16(0).be16(0);
    w.be32(0x0101080a).be32(f.timestamp).be32(5);
  } else {
    w.be16(static_cast<uint16_t>(8 + payload)).be16(0);
  }
  w.bytes(payload_of(f, payload));
  const uint16_t sum = slow_sum(Bytes(p).subspan(ip_header_of(f.kind)), pseudo_sum(p, f.kind));
  store_be16(&p[checksum_at(f.kind)], static_cast<uint16_t>(~sum));
  return p;
}

// Nothing if a length or a checksum is wrong.
inline std::optional<Read> read_packet(Bytes p) {
  Read r;
  if (p.size() < 28) return {};
  const bool v4 = p[0] >> 4 == 4;
  const uint8_t protocol = v4 ? p[9] : p[6];
  r.kind = protocol == 6 ? (v4 ? Kind::tcp4 : Kind::tcp6) : v4 ? Kind::udp4 : Kind::udp6;
  const size_t at = ip_header_of(r.kind);
  if (v4 ? load_be16(&p[2]) != p.size() || slow_sum(p.first(20)) != 0xffff : load_be16(&p[4]) + 40u != p.size()) return {};
  if (!is_tcp(r.kind) && load_be16(&p[at + 4]) != p.size() - at) return {};
  if (slow_sum(p.subspan(at), pseudo_sum(p, r.kind)) != 0xffff) return {};
  r.id = v4 ? load_be16(&p[4]) : uint16_t{0};
  r.port = load_be16(&p[at]);
  if (is_tcp(r.kind)) {
    r.sequence = load_be32(&p[at + 4]);
    r.flags = p[at + 13];
  }
  const Bytes payload = p.subspan(at + (is_tcp(r.kind) ? size_t{p[at + 12]} >> 4 << 2 : 8));
  r.payload.assign(payload.begin(), payload.end());
  return r;
}

inline std::vector<uint8_t> joined(std::span<const iovec> parts) {
  std::vector<uint8_t> out;
  for (const iovec& v : parts) {
    const auto* p = static_cast<const uint8_t*>(v.iov_base);
    out.insert(out.end(), p, p + v.iov_len);
  }
  return out;
}

}  // namespace macrovpn::shell::testing
