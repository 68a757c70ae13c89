#include "core/discovery/bandwidth_check.h"

#include <algorithm>

namespace macrovpn::discovery {
namespace {

constexpr size_t kMacAt = 4;

bool share_prefix(const IpAddress& a, const IpAddress& b, const Network& n) {
  if (a.family() != b.family()) return false;
  return IpPrefix::of(a, a.is_v4() ? n.diversity_v4 : n.diversity_v6).contains(b);
}

bool is_stranger(const RelayEntry& target, const RelayEntry& e, const Network& n) {
  if (e.convicted() || e.id == target.id || share_prefix(e.home, target.home, n)) return false;
  const RelayInfo &a = target.descriptor.relay, &b = e.descriptor.relay;
  if (a.as_number != 0 && a.as_number == b.as_number) return false;
  return !a.family || a.family != b.family;
}

Bandwidth measured_rate(const RelayEntry& e) { return std::min(e.descriptor.relay.bandwidth, kMostMeasured); }

// Where the rank of a relay's work enters, another place costs another proof; an id alone is drawn for nothing.
crypto::Hash32 place_of(const RelayEntry& e, Bytes point) {
  ByteArray<8> rank;
  store_le64(rank.data(), e.rank);
  return crypto::blake2b_256({as_bytes("macrovpn measurer 1"), e.id.bytes, rank, point});
}

}  // namespace

uint32_t measure_week_of(Wall t) { return static_cast<uint32_t>(std::max<int64_t>(0, unix_seconds(t)) / (kMeasureWeek / 1s)); }

std::vector<PeerId> measurers_of(const RelayEntry& target, uint32_t week, const RelaySet& set) {
  ByteArray<4> w;
  store_le32(w.data(), week);
  const auto point = crypto::blake2b_256({as_bytes("macrovpn measured 1"), set.network().id.bytes, target.id.bytes, w});
  std::vector<std::pair<crypto::Hash32, PeerId>> drawn;
  for (const EntryPtr& e : set.all()) {
    if (!is_stranger(target, *e, set.network()) || measured_rate(*e) < measured_rate(target)) continue;
    drawn.emplace_back(place_of(*e, point), e->id);
    std::push_heap(drawn.begin(), drawn.end());
    if (drawn.size() <= kMeasurers) continue;
    std::pop_heap(drawn.begin(), drawn.end());
    drawn.pop_back();
  }
  std::sort(drawn.begin(), drawn.end());
  std::vector<PeerId> out;
  for (const auto& [place, id] : drawn) out.push_back(id);
  return out;
}

std::optional<Bandwidth> settle_bandwidth(Bandwidth claim, std::vector<Bandwidth> results) {
  if (results.size() < kLeastResults) return std::nullopt;
  // Of an even number the lower one of the two in the middle.
  const auto mid = results.begin() + static_cast<std::ptrdiff_t>((results.size() - 1) / 2);
  std::nth_element(results.begin(), mid, results.end());
  return std::min(claim, *mid);
}

// ---- measuring

BandwidthMeasurer::BandwidthMeasurer(Bandwidth rate, Mono start, Rng& rng)
    : rate_(std::clamp(rate, kLeastMeasured, kMostMeasured).bytes_per_second), start_(start), key_(rng.bytes<32>()) {
  total_ = static_cast<uint32_t>(rate_ * static_cast<uint64_t>(kMeasureFor / 1s) / kSampleSize);
  seen_.resize(total_);
}

crypto::Mac16 BandwidthMeasurer::mac_of(uint32_t index) const {
  ByteArray<4> i;
  store_le32(i.data(), index);
  return crypto::keyed_blake2s_128(key_, {i});
}

void BandwidthMeasurer::on_deadline(Mono now, std::vector<std::vector<uint8_t>>& samples) {
  if (now < start_) return;
  const auto elapsed = static_cast<uint64_t>(std::min(now - start_, kMeasureFor) / 1us);
  const uint64_t due = std::min<uint64_t>(total_, elapsed * rate_ / 1'000'000 / kSampleSize);
  for (size_t n = 0; next_ < due && n < kAtOnce; n++, next_++) {
    std::vector<uint8_t>& s = samples.emplace_back(kSampleSize);
    store_le32(s.data(), next_);
    const auto mac = mac_of(next_);
    std::copy(mac.begin(), mac.end(), &s[kMacAt]);
  }
}

Mono BandwidthMeasurer::next_deadline() const {
  if (next_ >= total_) return start_ + kMeasureFor;
  const auto at = std::chrono::microseconds((uint64_t{next_} + 1) * kSampleSize * 1'000'000 / rate_ + 1);
  return start_ + std::max<Duration>(at, Duration::zero());
}

void BandwidthMeasurer::on_echo(Mono now, Bytes sample) {
  if (is_over(now) || sample.size() != kSampleSize) return;
  const uint32_t index = load_le32(sample.data());
  const auto mac = to_array<16>(sample.subspan(kMacAt, 16));
  if (index >= next_ || !mac || *mac != mac_of(index)) {
    forged_++;
    return;
  }
  if (seen_[index]) return;
  seen_[index] = true;
  if (now - start_ >= kWarmUp) echoed_ += kSampleSize;
}

// A forged sample shows a target that pretends: nothing of it counts.
Bandwidth BandwidthMeasurer::result() const {
  if (forged_ != 0) return {};
  const uint64_t x = echoed_ / static_cast<uint64_t>((kMeasureFor - kWarmUp) / 1s);
  const uint64_t y = background_ / static_cast<uint64_t>(kMeasureFor / 1s);
  return {x + std::min(y, x / 3)};
}

// ---- being measured

BandwidthTarget::Answer BandwidthTarget::on_ask(const Now& now, const Ask& ask, const RelayEntry& own, Bandwidth cap, const RelaySet& set) {
  const uint32_t week = measure_week_of(now.wall);
  if (week != week_) {
    week_ = week;
    done_.clear();
  }
  const uint64_t most = std::min({own.descriptor.relay.bandwidth.bytes_per_second, kMostMeasured.bytes_per_second,
                                  cap.bytes_per_second == 0 ? UINT64_MAX : cap.bytes_per_second});
  if (ask.week != week || ask.rate.bytes_per_second > most || ask.rate < kLeastMeasured) return Answer::no;
  const auto measurers = measurers_of(own, week, set);
  const auto is_in = [&](const std::vector<PeerId>& list) { return std::find(list.begin(), list.end(), ask.from) != list.end(); };
  if (!is_in(measurers) || is_in(done_)) return Answer::no;
  if (is_measured(now.mono)) return Answer::later;
  done_.push_back(ask.from);
  by_ = ask.from;
  until_ = now.mono + kMeasureFor + 2s;
  left_ = ask.rate.bytes_per_second * static_cast<uint64_t>(kMeasureFor / 1s);
  background_ = 0;
  return Answer::yes;
}

bool BandwidthTarget::on_sample(Mono now, const PeerId& from, size_t bytes) {
  if (!is_measured(now) || from != by_ || bytes > left_) return false;
  left_ -= bytes;
  return true;
}

}  // namespace macrovpn::discovery
