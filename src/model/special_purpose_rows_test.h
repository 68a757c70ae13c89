// The rows of the special-purpose address registries, for tests that go through all of them.
#pragma once
#include <algorithm>
#include <span>

#include "model/ip.h"

namespace macrovpn {

// The IANA registries as of 2026-07-18, row by row, with what each says of global reachability ("n/a" is not
// "yes").
struct Row {
  const char* block;
  bool reachable;
};
inline constexpr Row kRegistry4[] = {
    {"0.0.0.0/8", false},      {"0.0.0.0/32", false},      {"10.0.0.0/8", false},
    {"100.64.0.0/10", false},  {"127.0.0.0/8", false},     {"169.254.0.0/16", false},
    {"172.16.0.0/12", false},  {"192.0.0.0/24", false},    {"192.0.0.0/29", false},
    {"192.0.0.8/32", false},   {"192.0.0.9/32", true},     {"192.0.0.10/32", true},
    {"192.0.0.170/32", false}, {"192.0.0.171/32", false},  {"192.0.2.0/24", false},
    {"192.31.196.0/24", true}, {"192.52.193.0/24", true},  {"192.88.99.0/24", false},
    {"192.88.99.2/32", false}, {"192.168.0.0/16", false},  {"192.175.48.0/24", true},
    {"198.18.0.0/15", false},  {"198.51.100.0/24", false}, {"203.0.113.0/24", false},
    {"224.0.0.0/4", false},    {"240.0.0.0/4", false},     {"255.255.255.255/32", false}};
inline constexpr Row kRegistry6[] = {
    {"::1/128", false},        {"::/128", false},       {"64:ff9b:1::/48", false},   {"100::/64", false},
    {"100:0:0:1::/64", false}, {"2001::/23", false},    {"2001::/32", false},        {"2001:1::1/128", true},
    {"2001:1::2/128", true},   {"2001:1::3/128", true}, {"2001:2::/48", false},      {"2001:3::/32", true},
    {"2001:4:112::/48", true}, {"2001:10::/28", false}, {"2001:20::/28", true},      {"2001:30::/28", true},
    {"2001:db8::/32", false},  {"2002::/16", false},    {"2620:4f:8000::/48", true}, {"3fff::/20", false},
    {"5f00::/16", false},      {"fc00::/7", false},     {"fe80::/10", false},        {"ff00::/8", false}};

inline IpAddress made(const IpAddress& like, const ByteArray<16>& b) {
  return like.is_v4() ? IpAddress::v4(ByteArray<4>{b[0], b[1], b[2], b[3]}) : IpAddress::v6(b);
}
inline ByteArray<16> raw(const IpAddress& a) {
  ByteArray<16> out{};
  std::copy(a.bytes().begin(), a.bytes().end(), out.begin());
  return out;
}
inline IpAddress last_of(const IpPrefix& p) {
  ByteArray<16> b = raw(p.address);
  for (unsigned i = p.length; i < p.address.bits(); i++)
    b[i / 8] = static_cast<uint8_t>(b[i / 8] | 0x80 >> i % 8);
  return made(p.address, b);
}
}  // namespace macrovpn
