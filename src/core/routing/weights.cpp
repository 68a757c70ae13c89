#include "core/routing/weights.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace macrovpn::routing {
namespace {

constexpr unsigned kRounds = 8;  // a cut by one bound makes all less, and so another bound tighter
constexpr uint64_t kMostBandwidth = uint64_t{1} << 40;  // no sum of claims comes near an overflow
constexpr uint32_t kAlone = UINT32_MAX;

struct Key {
  uint64_t high = 0, low = 0;
  uint32_t candidate = 0;
  auto operator<=>(const Key&) const = default;
};

// Which candidates belong together: those of equal keys.
class Grouping {
 public:
  Grouping(std::vector<Key> keys, size_t candidates) : group_of_(candidates, kAlone), members_(keys.size()) {
    std::sort(keys.begin(), keys.end());
    for (size_t i = 0; i < keys.size(); i++) {
      if (i == 0 || keys[i].high != keys[i - 1].high || keys[i].low != keys[i - 1].low) begins_.push_back(i);
      group_of_[keys[i].candidate] = static_cast<uint32_t>(begins_.size() - 1);
      members_[i] = keys[i].candidate;
    }
  }
  size_t size() const { return begins_.size(); }
  uint32_t of(size_t candidate) const { return group_of_[candidate]; }  // or kAlone
  std::span<const uint32_t> members(size_t group) const {
    const size_t end = group + 1 < begins_.size() ? begins_[group + 1] : members_.size();
    return std::span(members_).subspan(begins_[group], end - begins_[group]);
  }

 private:
  std::vector<uint32_t> group_of_;
  std::vector<uint32_t> members_;  // group after group
  std::vector<size_t> begins_;
};

// Where a relay is called by most: its first IPv4 address, else its first.
const IpAddress& home_of(const RelayInfo& r) {
  const auto v4 = std::find_if(r.endpoints.begin(), r.endpoints.end(), [](const Endpoint& e) { return e.address.is_v4(); });
  return v4 != r.endpoints.end() ? v4->address : r.endpoints.front().address;
}

uint64_t top_bits(uint64_t v, unsigned n) { return n == 0 ? 0 : n >= 64 ? v : v & ~(UINT64_MAX >> n); }

Key prefix_key(const RelayInfo& r, const Network& network, uint32_t candidate) {
  if (r.endpoints.empty()) return {UINT64_MAX, candidate, candidate};
  const IpAddress& a = home_of(r);
  // No IPv6 prefix in use begins with 32 zeros, so that the two kinds do not meet.
  if (a.is_v4()) return {0, top_bits(uint64_t{load_be32(a.bytes().data())} << 32, network.diversity_v4) >> 32, candidate};
  const unsigned n = network.diversity_v6;
  return {top_bits(load_be64(a.bytes().data()), n), top_bits(load_be64(a.bytes().data() + 8), n > 64 ? n - 64 : 0), candidate};
}

Grouping by_prefix(std::span<const RelayInfo* const> relays, const Network& network) {
  std::vector<Key> keys;
  keys.reserve(relays.size());
  for (uint32_t i = 0; i < relays.size(); i++) keys.push_back(prefix_key(*relays[i], network, i));
  return {std::move(keys), relays.size()};
}

// Who names none is one by itself.
Grouping by_system(std::span<const RelayInfo* const> relays) {
  std::vector<Key> keys;
  keys.reserve(relays.size());
  for (uint32_t i = 0; i < relays.size(); i++) {
    keys.push_back(relays[i]->as_number != 0 ? Key{0, relays[i]->as_number, i} : Key{1, i, i});
  }
  return {std::move(keys), relays.size()};
}

Grouping by_family(std::span<const RelayInfo* const> relays) {
  std::vector<Key> keys;
  for (uint32_t i = 0; i < relays.size(); i++) {
    if (!relays[i]->family) continue;
    const auto& key = relays[i]->family->bytes;
    keys.push_back({load_be64(key.data()), load_be64(key.data() + 8), i});
  }
  return {std::move(keys), relays.size()};
}

uint64_t median(std::vector<uint64_t>& of) {
  const auto mid = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
  std::nth_element(of.begin(), mid, of.end());
  return *mid;
}

// Of the groups' medians.  No group, no median: never asked of nothing.
template <class Value>
uint64_t median_of_groups(const Grouping& groups, Value value) {
  std::vector<uint64_t> medians, own;
  medians.reserve(groups.size());
  for (size_t g = 0; g < groups.size(); g++) {
    own.clear();
    for (const uint32_t i : groups.members(g)) own.push_back(value(i));
    medians.push_back(median(own));
  }
  return median(medians);
}

// Of networks, whichever way they are told apart: an attacker would need more of both than there are honest ones.
template <class Value>
uint64_t worth(const Grouping& prefixes, const Grouping& systems, Value value) {
  return std::min(median_of_groups(prefixes, value), median_of_groups(systems, value));
}

uint64_t own_weight(const RelayInfo& r, uint64_t cap, Wall now) {
  const int64_t days = std::clamp<int64_t>((now - r.created) / std::chrono::hours(24), 1, kFullAgeDays);
  const uint64_t kib = std::min(r.bandwidth.bytes_per_second, cap) / 1024;
  return std::max<uint64_t>(kib, 1) * static_cast<uint64_t>(days);
}

// w * cap / sum, of w <= sum and cap < sum, without a product beyond 64 bits: both at the cost of the last of 20 bits.
uint64_t scaled(uint64_t w, uint64_t cap, uint64_t sum) {
  const int shift = std::max(0, static_cast<int>(std::bit_width(sum)) - 44);
  const uint64_t parts = ((cap >> shift) << 20) / (sum >> shift);  // of 2^20
  return std::max<uint64_t>((w >> 20) * parts + (((w & 0xfffff) * parts) >> 20), 1);
}

// Whether somebody was cut.
bool bound(const Grouping& groups, uint64_t per_mille, uint64_t least, std::vector<uint64_t>& weights) {
  if (groups.size() == 0) return false;
  std::vector<uint64_t> sums(groups.size());
  uint64_t others = 0;
  for (size_t i = 0; i < weights.size(); i++) {
    (groups.of(i) == kAlone ? others : sums[groups.of(i)]) += weights[i];
  }
  // What all have if no group has more than the least bound: so a flood of groups does not lift its own.
  const uint64_t all = std::accumulate(sums.begin(), sums.end(), others, [&](uint64_t sum, uint64_t s) { return sum + std::min(s, least); });
  const uint64_t cap = std::max(all / 1000 * per_mille, least);
  bool cut = false;
  for (size_t g = 0; g < sums.size(); g++) {
    if (sums[g] <= cap) continue;
    // Whole numbers never meet it exactly: what is within a thousandth of it was cut already.
    cut |= sums[g] - cap > cap / 1000 + groups.members(g).size();
    for (const uint32_t i : groups.members(g)) weights[i] = scaled(weights[i], cap, sums[g]);
  }
  return cut;
}

}  // namespace

std::vector<uint64_t> weights_of(std::span<const RelayInfo* const> relays, const Network& network, Wall now) {
  std::vector<uint64_t> weights;
  if (relays.empty()) return weights;
  weights.reserve(relays.size());
  const Grouping prefixes = by_prefix(relays, network), systems = by_system(relays);
  const uint64_t usual = worth(prefixes, systems, [&](uint32_t i) { return relays[i]->bandwidth.bytes_per_second; });
  const uint64_t most = std::min(usual, kMostBandwidth) * 4;
  for (const RelayInfo* r : relays) weights.push_back(own_weight(*r, most, now));
  if (relays.size() <= kWorthOfGroup) return weights;
  const uint64_t least = kWorthOfGroup * worth(prefixes, systems, [&](uint32_t i) { return weights[i]; });
  const Grouping families = by_family(relays);
  for (unsigned round = 0; round < kRounds; round++) {
    const bool a = bound(prefixes, kPrefixPerMille, least, weights);
    const bool b = bound(systems, kSystemPerMille, least, weights);
    const bool c = bound(families, kFamilyPerMille, least, weights);
    if (!a && !b && !c) break;
  }
  return weights;
}

}  // namespace macrovpn::routing
