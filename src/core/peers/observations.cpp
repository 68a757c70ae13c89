#include "core/peers/observations.h"

#include <algorithm>
#include <cmath>

namespace macrovpn::peers {
namespace {

constexpr uint8_t kVersion = 1;
constexpr double kKept = 63.0 / 64;  // so counts stay below 64
constexpr double kCountScale = 256;

uint16_t day_of(Wall t) {
  return static_cast<uint16_t>(std::clamp<int64_t>(unix_seconds(t) / 86'400, 0, UINT16_MAX));
}

// A calendar that went back decays nothing.
double faded(uint16_t since, uint16_t now) {
  return now <= since ? 1 : std::pow(0.5, static_cast<double>(now - since) / Observations::kHalfLifeDays);
}

uint32_t micros(Duration d) {
  return static_cast<uint32_t>(std::clamp<int64_t>(d / 1us, 0, UINT32_MAX));
}

uint16_t scaled(double count) {
  return static_cast<uint16_t>(std::clamp(count * kCountScale, 0.0, 65'535.0));
}

}  // namespace

Observations::Entry& Observations::touch(const PeerId& id, Wall now) {
  const uint16_t today = day_of(now);
  auto it = entries_.find(id);
  if (it == entries_.end()) {
    if (entries_.size() >= kMaxObserved) {
      const auto evidence = [&](const auto& e) { return (e.second.seen.worked + e.second.seen.failed) * faded(e.second.day, today); };
      entries_.erase(std::min_element(entries_.begin(), entries_.end(), [&](const auto& a, const auto& b) { return evidence(a) < evidence(b); }));
    }
    it = entries_.emplace(id, Entry{{}, today}).first;
  }
  Entry& e = it->second;
  const double kept = kKept * faded(e.day, today);
  e.seen.worked *= kept;
  e.seen.failed *= kept;
  e.day = std::max(e.day, today);
  return e;
}

void Observations::worked(const PeerId& id, Wall now) { touch(id, now).seen.worked += 1; }

void Observations::failed(const PeerId& id, Wall now) { touch(id, now).seen.failed += 1; }

void Observations::round_trip(const PeerId& id, Duration took, Way way) {
  const auto it = entries_.find(id);
  if (it == entries_.end() || took <= Duration::zero()) return;
  RelaySeen& s = it->second.seen;
  s.round_trip = s.round_trip == Duration::zero() ? took : s.round_trip + (took - s.round_trip) / 8;
  if (way == Way::direct && (s.direct == Duration::zero() || took < s.direct)) s.direct = took;
}

// What passed is mostly what was asked for, seldom what would fit: it rises fast and falls slowly.
void Observations::throughput(const PeerId& id, Bandwidth rate) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  uint64_t& known = it->second.seen.throughput.bytes_per_second;
  const uint64_t now = rate.bytes_per_second;
  known = now > known ? known + (now - known + 1) / 2 : known - (known - now) / 64;
}

std::optional<RelaySeen> Observations::seen(const PeerId& id, Wall now) const {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return std::nullopt;
  RelaySeen out = it->second.seen;
  const double kept = faded(it->second.day, day_of(now));
  out.worked *= kept;
  out.failed *= kept;
  return out;
}

// id 20 | day 2 | round trip 4, direct 4 (µs) | throughput 4 (KiB/s) | worked 2, failed 2 (1/256)
std::vector<PeerId> Observations::failing(Wall now) const {
  std::vector<PeerId> out;
  const uint16_t today = day_of(now);
  for (const auto& [id, e] : entries_) {
    if ((e.seen.failed - e.seen.worked) * faded(e.day, today) > 0.5) out.push_back(id);
  }
  return out;
}

bool Observations::works(const PeerId& id, Wall now) const {
  const auto it = entries_.find(id);
  return it != entries_.end() && it->second.seen.worked > it->second.seen.failed && it->second.day + 1 >= day_of(now);
}

std::vector<uint8_t> Observations::save() const {
  std::vector<uint8_t> out;
  Writer w(out);
  w.u8(kVersion).le16(static_cast<uint16_t>(entries_.size()));
  for (const auto& [id, e] : entries_) {
    const uint64_t kib = std::min<uint64_t>(e.seen.throughput.bytes_per_second / 1024, UINT32_MAX);
    w.bytes(id.bytes).le16(e.day).le32(micros(e.seen.round_trip)).le32(micros(e.seen.direct)).le32(static_cast<uint32_t>(kib));
    w.le16(scaled(e.seen.worked)).le16(scaled(e.seen.failed));
  }
  return out;
}

Result<Observations> Observations::load(Bytes bytes) {
  Reader r(bytes);
  if (r.u8() != kVersion) return fail("what was seen of relays is of an unknown version");
  const size_t n = r.le16();
  if (n > kMaxObserved || bytes.size() != 3 + n * kSavedSize) return fail("what was seen of relays is damaged");
  Observations out;
  for (size_t i = 0; i < n; i++) {
    PeerId id;
    id.bytes = r.fixed<20>();
    Entry e;
    e.day = r.le16();
    e.seen.round_trip = std::chrono::microseconds(r.le32());
    e.seen.direct = std::chrono::microseconds(r.le32());
    e.seen.throughput.bytes_per_second = uint64_t{r.le32()} * 1024;
    e.seen.worked = r.le16() / kCountScale;
    e.seen.failed = r.le16() / kCountScale;
    out.entries_[id] = e;
  }
  return out;
}

}  // namespace macrovpn::peers
