#include "core/peers/guard_set.h"

#include <algorithm>

namespace macrovpn::peers {
namespace {
constexpr uint8_t kVersion = 1;
constexpr Duration kWeek = std::chrono::hours(24 * 7);
}  // namespace

GuardSet::Add GuardSet::add(const PeerId& id, Wall now) {
  const auto same = [&](const Guard& g) { return g.id == id; };
  if (std::any_of(guards_.begin(), guards_.end(), same)) return Add::known;
  if (guards_.size() >= kMaxSampled) return Add::full;
  std::erase_if(recently_added_, [&](Wall t) { return now - t > kWeek; });
  if (filled_once_) {
    if (recently_added_.size() >= kNewPerWeek) return Add::too_many_new;
    recently_added_.push_back(now);
  }
  guards_.push_back({id, now, 0, 0, kLongAgo});
  if (guards_.size() >= kPrimary) filled_once_ = true;
  return Add::added;
}

void GuardSet::drop_expired(Wall now) {
  // A clock that was ahead must not make guards eternal, nor keep new ones out.
  for (Guard& g : guards_) g.added = std::min(g.added, now);
  for (Wall& t : recently_added_) t = std::min(t, now);
  const auto is_new = [&](const Guard& g) { return now - g.added < kWeek; };
  const auto oldest = std::min_element(guards_.begin(), guards_.end(), [](const Guard& a, const Guard& b) { return a.added < b.added; });
  if (oldest == guards_.end() || now - oldest->added <= kLife) return;
  if (guards_.size() >= kPrimary && std::none_of(guards_.begin(), guards_.end(), is_new)) guards_.erase(oldest);
}

void GuardSet::forget(const PeerId& id) {
  std::erase_if(guards_, [&](const Guard& g) { return g.id == id; });
}

std::vector<PeerId> GuardSet::in_order(Mono now) const {
  std::vector<const Guard*> all;
  for (const Guard& g : guards_) all.push_back(&g);
  const auto failed = [&](const Guard* g) { return now - g->failed_at < kRetryAfter ? g->failed_at : kLongAgo; };
  std::stable_sort(all.begin(), all.end(), [&](const Guard* a, const Guard* b) {
    return failed(a) != failed(b) ? failed(a) < failed(b) : a->never_worked() < b->never_worked();
  });
  std::vector<PeerId> ids;
  for (const Guard* g : all) ids.push_back(g->id);
  return ids;
}

bool GuardSet::failed_lately(const PeerId& id, Mono now) const {
  return std::any_of(guards_.begin(), guards_.end(), [&](const Guard& g) { return g.id == id && now - g.failed_at < kRetryAfter; });
}

void GuardSet::forgive() {
  for (Guard& g : guards_) {
    if (g.successes == 0) g.failures = 0;
  }
}

void GuardSet::succeeded(const PeerId& id) {
  for (Guard& g : guards_) {
    if (g.id != id) continue;
    g.successes++;
    g.failed_at = kLongAgo;
  }
}

void GuardSet::failed(const PeerId& id, Mono now) {
  for (Guard& g : guards_) {
    if (g.id != id) continue;
    g.failures++;
    g.failed_at = now;
  }
}

std::vector<uint8_t> GuardSet::save() const {
  std::vector<uint8_t> out;
  Writer w(out);
  w.u8(kVersion)
      .u8(filled_once_ ? 1 : 0)
      .u8(static_cast<uint8_t>(guards_.size()))
      .u8(static_cast<uint8_t>(recently_added_.size()));
  for (const Guard& g : guards_)
    w.bytes(g.id.bytes).le64(static_cast<uint64_t>(unix_seconds(g.added))).le32(g.successes).le32(g.failures);
  for (const Wall t : recently_added_) w.le64(static_cast<uint64_t>(unix_seconds(t)));
  return out;
}

Result<GuardSet> GuardSet::load(Bytes b) {
  Reader r(b);
  GuardSet out;
  if (r.u8() != kVersion) return fail("the saved guards are of an unknown version");
  out.filled_once_ = r.u8() == 1;
  const size_t n = r.u8();
  const size_t recent = r.u8();
  if (n > kMaxSampled || recent > kNewPerWeek) return fail("the saved guards are damaged");
  for (size_t i = 0; i < n; i++) {
    Guard g;
    g.id.bytes = r.fixed<20>();
    g.added = wall_from_unix(static_cast<int64_t>(r.le64() & 0xffffffff));
    g.successes = r.le32();
    g.failures = r.le32();
    out.guards_.push_back(g);
  }
  for (size_t i = 0; i < recent; i++)
    out.recently_added_.push_back(wall_from_unix(static_cast<int64_t>(r.le64() & 0xffffffff)));
  if (!r.done()) return fail("the saved guards are damaged");
  return out;
}

}  // namespace macrovpn::peers
