#include "core/discovery/measured.h"

#include <algorithm>
#include <bit>

namespace macrovpn::discovery {
namespace {

constexpr unsigned kStepBits = 4, kLowest = 9;  // 16 steps an octave, from 2^13 on
constexpr unsigned kFirstValue = 2;             // 0 and 1 say other things

bool share_prefix(const IpAddress& a, const IpAddress& b, const Network& n) {
  if (a.family() != b.family()) return false;
  return IpPrefix::of(a, a.is_v4() ? n.diversity_v4 : n.diversity_v6).contains(b);
}

bool is_stranger(const RelayEntry& target, const RelayEntry& e, const Network& n) {
  if (e.id == target.id || share_prefix(e.home, target.home, n)) return false;
  const RelayInfo &a = target.descriptor.relay, &b = e.descriptor.relay;
  if (a.as_number != 0 && a.as_number == b.as_number) return false;
  return !a.family || a.family != b.family;
}

uint64_t rate_of(const RelayEntry& e) { return std::min(e.descriptor.relay.bandwidth, kMostMeasured).bytes_per_second; }

// Where the rank of a relay's work enters, another try costs another proof; an id alone would be tried for nothing.
uint64_t place_of(const Network& n, const RelayEntry& measurer, const RelayEntry& target, uint32_t week) {
  ByteArray<4> w;
  ByteArray<8> of_target, of_measurer;
  store_le32(w.data(), week);
  store_le64(of_target.data(), target.rank);
  store_le64(of_measurer.data(), measurer.rank);
  const auto h =
      crypto::blake2b_256({as_bytes("macrovpn measurer 2"), n.id.bytes, w, target.id.bytes, of_target, measurer.id.bytes, of_measurer});
  return load_be64(h.data());
}

std::vector<uint8_t> message_of(const MeasureAsk& a) {
  std::vector<uint8_t> out;
  Writer(out).bytes(as_bytes("macrovpn measure 1")).bytes(a.network.bytes).bytes(a.target.bytes).le32(a.week).le64(a.rate.bytes_per_second).bytes(a.handshake_hash);
  return out;
}

using Results = std::map<ShortId, std::vector<std::optional<Bandwidth>>>;

// What one relay says of those for whom it is drawn.
void collect(const MeasurerDraw& draw, const RelayEntry& by, uint32_t week, Results& out) {
  const auto& said = by.descriptor.details.measured;
  if (!said) return;
  const auto take = [&](const std::vector<MeasuredRelay>& list, uint32_t of_week, const std::vector<MeasuredRelay>* newer) {
    for (const MeasuredRelay& m : list) {
      const RelayEntry* target = draw.find(ShortId{m.target});
      const auto is_same = [&](const MeasuredRelay& n) { return n.target == m.target; };
      if (target == nullptr || (newer != nullptr && std::any_of(newer->begin(), newer->end(), is_same))) continue;
      if (draw.is_drawn(by, *target, of_week, MeasurerDraw::Margin::copies_differ)) out[target->short_id].push_back(decode_result(m.value));
    }
  };
  const auto weeks_ago = static_cast<uint16_t>(week - said->week);
  if (weeks_ago > 1 || week == 0) return;
  take(said->now, week - weeks_ago, nullptr);
  if (weeks_ago == 0) take(said->before, week - 1, &said->now);
}

}  // namespace

uint8_t encode_result(const std::optional<Bandwidth>& b) {
  if (!b) return kRefusedValue;
  const uint64_t steps = b->bytes_per_second >> kLowest;
  if (steps < 1u << kStepBits) return 1;
  const unsigned e = static_cast<unsigned>(std::bit_width(steps)) - 1 - kStepBits;
  const unsigned n = (e << kStepBits) + static_cast<unsigned>((steps >> e) & ((1u << kStepBits) - 1));
  return static_cast<uint8_t>(std::min(n + kFirstValue, 255u));
}

std::optional<Bandwidth> decode_result(uint8_t value) {
  if (value == kRefusedValue) return std::nullopt;
  if (value < kFirstValue) return Bandwidth{};
  const unsigned n = value - kFirstValue;
  return Bandwidth{((uint64_t{1} << kStepBits) + n % (1u << kStepBits)) << (n / (1u << kStepBits) + kLowest)};
}

// ---- the draw

MeasurerDraw::MeasurerDraw(const Network& network, std::vector<WeighedRelay> relays) : network_(network), relays_(std::move(relays)) {
  for (const WeighedRelay& r : relays_) {
    at_least_.emplace_back(rate_of(*r.relay), r.weight);
    all_ += r.weight;
  }
  std::sort(at_least_.begin(), at_least_.end());
  uint64_t sum = 0;
  for (auto it = at_least_.rbegin(); it != at_least_.rend(); ++it) it->second = sum += it->second;
}

const WeighedRelay* MeasurerDraw::of(ShortId id) const {
  const auto it = std::lower_bound(relays_.begin(), relays_.end(), id, [](const WeighedRelay& r, ShortId s) { return r.relay->short_id < s; });
  return it != relays_.end() && it->relay->short_id == id ? &*it : nullptr;
}

const RelayEntry* MeasurerDraw::find(ShortId id) const {
  const WeighedRelay* r = of(id);
  return r == nullptr ? nullptr : r->relay.get();
}

// The highest rate, not above the target's, that half of the others' weight claims.
MeasurerDraw::Pool MeasurerDraw::pool_of(const RelayEntry& target) const {
  const WeighedRelay* own = of(target.short_id);
  const uint64_t less = own != nullptr ? own->weight : 0, most = rate_of(target);
  // Of several of one rate the first: its sum has all of them.
  const auto first_with = [&](uint64_t rate) { return std::lower_bound(at_least_.begin(), at_least_.end(), std::pair<uint64_t, uint64_t>(rate, 0)); };
  const auto too_few = std::partition_point(at_least_.begin(), at_least_.end(), [&](const auto& a) {
    return a.first <= most && 2 * (a.second - less) >= all_ - less;
  });
  if (too_few == at_least_.begin()) return {{most}, 0};
  const auto floor = first_with(std::prev(too_few)->first);
  return {{floor->first}, floor->second - less};
}

bool MeasurerDraw::is_drawn(const RelayEntry& measurer, const RelayEntry& target, uint32_t week, Margin margin) const {
  const WeighedRelay* m = of(measurer.short_id);
  if (m == nullptr || m->relay->id != measurer.id || !is_stranger(target, measurer, network_)) return false;
  const Pool pool = pool_of(target);
  if (rate_of(measurer) < pool.floor.bytes_per_second || pool.weight == 0) return false;
  const double expected = kExpectedMeasurers * (margin == Margin::copies_differ ? kLeniency : 1);
  const double share = static_cast<double>(m->weight) / static_cast<double>(pool.weight);
  return static_cast<double>(place_of(network_, measurer, target, week)) * 0x1p-64 < expected * share;
}

// ---- judging

Bandwidth BandwidthBook::counted(const RelayEntry& e) const {
  const Bandwidth claim = e.descriptor.relay.bandwidth;
  if (const auto it = measured.find(e.short_id); it != measured.end()) return std::min(claim, it->second);
  return bound ? std::min(claim, *bound) : claim;
}

bool has_results(std::span<const EntryPtr> entries) {
  return std::any_of(entries.begin(), entries.end(), [](const EntryPtr& e) { return !e->convicted() && e->descriptor.details.measured; });
}

BandwidthBook judge_bandwidths(const MeasurerDraw& draw, uint32_t week) {
  Results results;
  for (const WeighedRelay& r : draw.relays()) collect(draw, *r.relay, week, results);
  BandwidthBook book;
  uint64_t all = 0, measured = 0;
  std::vector<std::pair<uint64_t, uint64_t>> counted;  // with weights
  for (const WeighedRelay& r : draw.relays()) {
    all += r.weight;
    const auto it = results.find(r.relay->short_id);
    const auto settled = it == results.end() ? std::nullopt : settle_bandwidth(kMostMeasured, std::move(it->second));
    if (!settled) continue;
    book.measured[r.relay->short_id] = *settled;
    measured += r.weight;
    counted.emplace_back(book.counted(*r.relay).bytes_per_second, r.weight);
  }
  if (measured == 0 || 2 * measured < all) return book;
  std::sort(counted.begin(), counted.end());
  uint64_t sum = 0;
  for (const auto& [rate, weight] : counted) {
    sum += weight;
    if (4 * sum < measured) continue;
    book.bound = Bandwidth{rate};
    break;
  }
  return book;
}

// ---- who asks

crypto::Signature sign_measure(const crypto::SigningKey& key, const MeasureAsk& ask) { return crypto::ed25519_sign(key, message_of(ask)); }

bool verify_measure(const IdentityKey& identity, const crypto::Signature& signature, const MeasureAsk& ask) {
  return crypto::ed25519_verify(identity, message_of(ask), signature);
}

}  // namespace macrovpn::discovery
