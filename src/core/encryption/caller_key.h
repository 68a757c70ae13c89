// CallerKey: whom a limit counts against: an IPv4 address, an IPv6 /64 (one household), or a relay that
// proved its name.
#pragma once
#include <compare>

#include "model/ip.h"
#include "model/keys.h"

namespace macrovpn::encryption {

struct CallerKey {
  ByteArray<21> bytes{};  // kind (4, 6 or 1) and 4, 8 or 20 bytes
  auto operator<=>(const CallerKey&) const = default;
};

inline CallerKey caller_key(const IpAddress& a) {
  CallerKey k;
  k.bytes[0] = static_cast<uint8_t>(a.family());
  std::copy_n(a.bytes().begin(), a.is_v4() ? 4 : 8, k.bytes.begin() + 1);
  return k;
}
inline CallerKey caller_key(const PeerId& relay) {
  CallerKey k;
  k.bytes[0] = 1;
  std::copy(relay.bytes.begin(), relay.bytes.end(), k.bytes.begin() + 1);
  return k;
}

}  // namespace macrovpn::encryption
