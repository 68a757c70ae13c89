#include "core/discovery/bandwidth_check.h"

#include <algorithm>

namespace macrovpn::discovery {
namespace {

constexpr size_t kMacAt = 4;

}  // namespace

uint32_t measure_week_of(Wall t, Duration week) {
  return static_cast<uint32_t>(std::max<int64_t>(0, unix_seconds(t)) / std::max<int64_t>(1, week / 1s));
}

std::optional<Bandwidth> settle_bandwidth(Bandwidth claim, std::vector<std::optional<Bandwidth>> results) {
  if (results.size() < kLeastResults) return std::nullopt;
  // Of an even number the lower one of the two in the middle; nothing is less than any.
  const auto mid = results.begin() + static_cast<std::ptrdiff_t>((results.size() - 1) / 2);
  std::nth_element(results.begin(), mid, results.end());
  return *mid ? std::optional(std::min(claim, **mid)) : std::nullopt;
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

BandwidthTarget::Answer BandwidthTarget::on_ask(Mono now, const Ask& ask, uint32_t week, Bandwidth most) {
  if (week != week_) {
    week_ = week;
    done_.clear();
  }
  if (ask.week != week || ask.rate > std::min(most, kMostMeasured) || ask.rate < kLeastMeasured) return Answer::no;
  const auto times = static_cast<size_t>(std::count(done_.begin(), done_.end(), ask.from));
  if (times >= kAsksOfOne || done_.size() >= kMostAsks) return Answer::no;
  if (is_measured(now)) return Answer::later;
  done_.push_back(ask.from);
  by_ = ask.from;
  until_ = now + kMeasureFor + 2s;
  left_ = ask.rate.bytes_per_second * static_cast<uint64_t>(kMeasureFor / 1s);
  return Answer::yes;
}

bool BandwidthTarget::on_sample(Mono now, const PeerId& from, size_t bytes) {
  if (!is_measured(now) || from != by_ || bytes > left_) return false;
  left_ -= bytes;
  return true;
}

}  // namespace macrovpn::discovery
