#include "core/encryption/tai64n.h"

namespace macrovpn::encryption {
namespace {

constexpr uint64_t kBase = (uint64_t{1} << 62) + 10;
constexpr uint32_t kGranularity = 1u << 24;
constexpr uint32_t kSecond = 1'000'000'000;

Tai64n make(uint64_t seconds, uint32_t nanoseconds) {
  Tai64n out;
  store_be64(out.data(), seconds);
  store_be32(out.data() + 8, nanoseconds);
  return out;
}

}  // namespace

Tai64n tai64n_of(Wall wall, const Tai64n& last) {
  const int64_t seconds = unix_seconds(wall);
  const auto inside = static_cast<uint32_t>((wall - wall_from_unix(seconds)).count());
  const Tai64n out = make(kBase + static_cast<uint64_t>(seconds), inside & ~(kGranularity - 1));
  if (out > last) return out;
  const uint32_t next = load_be32(last.data() + 8) + kGranularity;
  return make(load_be64(last.data()) + next / kSecond, next % kSecond & ~(kGranularity - 1));
}

Tai64n tai64n_of_count(uint64_t count) {
  return make(kBase + (count >> 32), static_cast<uint32_t>(count));
}

}  // namespace macrovpn::encryption
