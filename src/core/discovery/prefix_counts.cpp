#include "core/discovery/prefix_counts.h"

#include <algorithm>

namespace macrovpn::discovery {
namespace {

constexpr unsigned kCountBits = 15;
constexpr uint64_t kCountMask = (1 << kCountBits) - 1;
// Names have 49 bits: those of v6 /48 have the highest one, the others a kind above their own bits.
constexpr uint64_t kV6Inner = uint64_t{1} << 48, kV4Inner = uint64_t{1} << 40, kV4Outer = uint64_t{2} << 40,
                   kV6Outer = uint64_t{3} << 40;

}  // namespace

Homes homes_of(const IpAddress& a) {
  const Bytes b = a.bytes();
  const uint64_t top = load_be32(b.data());
  if (a.is_v4()) return {kV4Inner | top >> 8, kV4Outer | top >> 16};
  return {kV6Inner | top << 16 | load_be16(b.data() + 4), kV6Outer | top};
}

HomeCaps caps_of(const IpAddress& a, const Network& n) {
  return a.is_v4() ? HomeCaps{n.max_per_v4_24, n.max_per_v4_16} : HomeCaps{n.max_per_v6_48, n.max_per_v6_32};
}

unsigned PrefixCounts::of(uint64_t prefix) const {
  const auto it = std::lower_bound(counts_.begin(), counts_.end(), prefix << kCountBits);
  return it != counts_.end() && *it >> kCountBits == prefix ? static_cast<unsigned>(*it & kCountMask) : 0;
}

void PrefixCounts::change(uint64_t prefix, int by) {
  const auto it = std::lower_bound(counts_.begin(), counts_.end(), prefix << kCountBits);
  const bool known = it != counts_.end() && *it >> kCountBits == prefix;
  MV_ASSERT(known || by > 0);
  if (!known) {
    counts_.insert(it, prefix << kCountBits | 1);
  } else if (by < 0 && (*it & kCountMask) == 1) {
    counts_.erase(it);
  } else {
    MV_ASSERT(by < 0 || (*it & kCountMask) < kCountMask);
    *it += static_cast<uint64_t>(static_cast<int64_t>(by));
  }
}

}  // namespace macrovpn::discovery
