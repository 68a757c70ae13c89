#include "core/discovery/liveness_map.h"

#include <algorithm>
#include <bit>
#include <set>

namespace macrovpn::discovery {
namespace {

constexpr size_t kAnswerHeader = 8 + 8 + 4 + 8;
constexpr uint8_t kVersion = 1;
constexpr uint32_t kLastHour = 2'000'000;  // in the year 2198: more nanoseconds do not fit
constexpr unsigned kMostQuestions = 1u << kMaxSplits;  // of one client, beyond the first of each source

uint64_t digest_of(std::span<const EntryPtr> entries) {
  std::vector<uint8_t> ids(entries.size() * 8);
  for (size_t i = 0; i < entries.size(); i++) store_be64(&ids[i * 8], entries[i]->short_id.value);
  return load_be64(crypto::blake2b_256({as_bytes("macrovpn map 1"), ids}).data());
}

std::span<const EntryPtr> in_range(std::span<const EntryPtr> all, const IdRange& r) {
  const auto low = std::lower_bound(all.begin(), all.end(), r.low, [](const EntryPtr& e, ShortId i) { return e->short_id < i; });
  const auto high = std::upper_bound(low, all.end(), r.high, [](ShortId i, const EntryPtr& e) { return i < e->short_id; });
  return {low, high};
}

}  // namespace

// The one that was asked longest ago.
EntryPtr LivenessProber::known_silent(Mono now, const RelaySet& set, unsigned times, Duration since) const {
  const auto first = std::min_element(silent_.begin(), silent_.end(), [&](const auto& a, const auto& b) {
    return std::pair(a.second.times != times, a.second.last) < std::pair(b.second.times != times, b.second.last);
  });
  const bool is_due = first != silent_.end() && first->second.times == times && now - first->second.last >= since;
  return is_due ? set.find(first->first) : nullptr;
}

// Each hour a twentieth of all, drawn alike; who was silent once is asked a second time before the others, and in every second turn one that is
// known to be dead, so that it is known as long as it is, and not longer.
EntryPtr LivenessProber::next(Mono now, const RelaySet& set) {
  const auto all = set.all();
  if (busy_ || now < next_at_) return nullptr;
  if (all.empty()) next_at_ = now + std::chrono::minutes(1);
  if (all.empty()) return nullptr;
  const bool is_first = next_at_ == kLongAgo;
  const Duration every = std::max<Duration>(each_ / static_cast<int64_t>(all.size()), kSoonestProbe);
  next_at_ = now + (is_first ? rng_.between(Duration::zero(), every) : every);
  if (is_first) return nullptr;
  std::erase_if(silent_, [&](const auto& s) { return now - s.second.last > kDeadFor || !set.find(s.first); });
  EntryPtr drawn = known_silent(now, set, 1, kSecondProbe);
  is_turn_of_dead_ = !is_turn_of_dead_;
  if (!drawn && is_turn_of_dead_) drawn = known_silent(now, set, kDeadAfter, kDeadAgain);
  if (!drawn) drawn = all[rng_.below(all.size())];
  if (drawn->convicted()) return nullptr;
  busy_ = true;
  return drawn;
}

void LivenessProber::on_probed(Mono now, ShortId id, Found found) {
  busy_ = false;
  if (found == Found::not_tried) return;
  if (found == Found::alive) {
    silent_.erase(id);
  } else {
    Silent& s = silent_[id];
    s.times = std::min(s.times + 1, kDeadAfter);
    s.last = now;
  }
}

bool LivenessProber::is_dead(Mono now, ShortId id) const {
  const auto it = silent_.find(id);
  return it != silent_.end() && it->second.times >= kDeadAfter && now - it->second.last <= kDeadFor;
}

std::vector<uint8_t> LivenessProber::answer(Mono now, const IdRange& asked, const RelaySet& set) const {
  IdRange range = asked;
  auto part = in_range(set.all(), range);
  if (part.size() > kMaxMapped) {
    part = part.first(kMaxMapped);
    range.high = part.back()->short_id;
  }
  std::vector<uint8_t> out;
  Writer w(out);
  w.be64(range.low.value).be64(range.high.value).le32(static_cast<uint32_t>(part.size())).be64(digest_of(part));
  out.resize(kAnswerHeader + (part.size() + 7) / 8);
  for (size_t i = 0; i < part.size(); i++) {
    if (is_dead(now, part[i]->short_id)) out[kAnswerHeader + i / 8] |= static_cast<uint8_t>(1 << i % 8);
  }
  return out;
}

std::vector<uint8_t> write_map_ask(const IdRange& r) {
  std::vector<uint8_t> out;
  Writer(out).be64(r.low.value).be64(r.high.value);
  return out;
}

std::optional<IdRange> read_map_ask(Bytes b) {
  if (b.size() != 16) return std::nullopt;
  const IdRange r{{load_be64(b.data())}, {load_be64(b.data() + 8)}};
  return r.low <= r.high ? std::optional(r) : std::nullopt;
}

std::optional<MapAnswer> read_map_answer(Bytes b) {
  if (b.size() < kAnswerHeader) return std::nullopt;
  const auto range = read_map_ask(b.first(16));
  const uint32_t count = load_le32(b.data() + 16);
  if (!range || count > kMaxMapped || b.size() != kAnswerHeader + (count + 7) / 8) return std::nullopt;
  return MapAnswer{*range, count, load_be64(b.data() + 20), b.subspan(kAnswerHeader)};
}

std::vector<IdRange> LivenessMap::on_answer(size_t source, const IdRange& asked, const MapAnswer& a, std::span<const EntryPtr> all) {
  MV_ASSERT(source < kMapSources);
  std::vector<IdRange> again;
  if (a.range.low != asked.low || a.range.high > asked.high) return again;
  // It had no room for more, it says; a liar may say so for ever.
  if (a.range.high < asked.high && further_ < kMostQuestions) {
    further_++;
    again.push_back({{a.range.high.value + 1}, asked.high});
  }
  const auto part = in_range(all, a.range);
  if (part.size() != a.count || digest_of(part) != a.digest) {
    // Halves of our own ids there: ranges of ids may be filled unevenly by whoever draws many.
    if (part.size() < 2 || further_ + 2 > kMostQuestions) return again;
    further_ += 2;
    const ShortId middle = part[part.size() / 2]->short_id;
    again.push_back({a.range.low, {middle.value - 1}});
    again.push_back({middle, a.range.high});
    return again;
  }
  for (size_t i = 0; i < part.size() && votes_.size() < kMaxRelays; i++) {
    LivenessVotes& v = votes_[part[i]->short_id];
    v.said = static_cast<uint8_t>(v.said | 1 << source);
    if (a.bits[i / 8] >> i % 8 & 1) v.dead = static_cast<uint8_t>(v.dead | 1 << source);
  }
  return again;
}

LivenessRound LivenessMap::round() const {
  LivenessRound out;
  out.reserve(votes_.size());
  for (const auto& [id, v] : votes_) {
    out.emplace_back(id, LivenessVotes{static_cast<uint8_t>(std::popcount(v.said)), static_cast<uint8_t>(std::popcount(v.dead))});
  }
  return out;
}

void LivenessMemory::add(LivenessRound round, Wall at) {
  if (round.empty()) return;
  rounds_.push_back({std::chrono::floor<std::chrono::hours>(at), std::move(round)});
  if (rounds_.size() > kRounds) rounds_.erase(rounds_.begin());
}

void LivenessMemory::drop_old(Wall now) {
  std::erase_if(rounds_, [&](const Dated& d) { return d.at > now || now - d.at > kDeadFor; });
}

Liveness LivenessMemory::of(ShortId id) const {
  unsigned said = 0, dead = 0;
  for (const auto& [at, round] : rounds_) {
    const auto it = std::lower_bound(round.begin(), round.end(), id, [](const auto& v, ShortId i) { return v.first < i; });
    if (it == round.end() || it->first != id) continue;
    said += it->second.said;
    dead += it->second.dead;
  }
  if (said == 0) return Liveness::unknown;
  return dead >= kAtLeast && 3 * dead >= 2 * said ? Liveness::dead : Liveness::alive;
}

std::vector<ShortId> LivenessMemory::dead() const {
  std::vector<ShortId> out;
  for (const auto& [at, round] : rounds_) {
    for (const auto& [id, votes] : round) {
      if (votes.dead > 0 && of(id) == Liveness::dead) out.push_back(id);
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::vector<uint8_t> LivenessMemory::save() const {
  std::vector<uint8_t> out;
  Writer w(out);
  std::set<ShortId> accused;
  for (const auto& [at, round] : rounds_) {
    for (const auto& [id, votes] : round) {
      if (votes.dead > 0) accused.insert(id);
    }
  }
  const auto is_kept = [&](const auto& v) { return accused.contains(v.first); };
  w.u8(kVersion).u8(static_cast<uint8_t>(rounds_.size()));
  for (const auto& [at, round] : rounds_) {
    w.le32(static_cast<uint32_t>(at.time_since_epoch() / std::chrono::hours(1)));
    w.le16(static_cast<uint16_t>(std::count_if(round.begin(), round.end(), is_kept)));
    for (const auto& v : round) {
      if (is_kept(v)) w.be64(v.first.value).u8(v.second.said).u8(v.second.dead);
    }
  }
  return out;
}

Result<LivenessMemory> LivenessMemory::load(Bytes bytes) {
  const auto damaged = [] { return fail("what relays said of each other is damaged on the disk; it is asked for anew"); };
  Reader r(bytes);
  if (r.u8() != kVersion) return damaged();
  LivenessMemory out;
  const size_t rounds = r.u8();
  if (!r.ok() || rounds > kRounds) return damaged();
  for (size_t i = 0; i < rounds; i++) {
    const uint32_t hour = r.le32();
    const size_t count = r.le16();
    if (hour > kLastHour || count > kMaxRelays) return damaged();
    Dated d{Wall(std::chrono::hours(hour)), {}};
    for (size_t n = 0; n < count && r.ok(); n++) {
      const ShortId id{r.be64()};
      const LivenessVotes votes{r.u8(), r.u8()};
      const bool is_next = d.round.empty() || d.round.back().first < id;
      if (!is_next || votes.dead > votes.said || votes.said > kMapSources) return damaged();
      d.round.emplace_back(id, votes);
    }
    out.rounds_.push_back(std::move(d));
  }
  if (!r.ok() || r.left() != 0) return damaged();
  return out;
}

}  // namespace macrovpn::discovery
