#include "core/peers/middle_set.h"

#include <algorithm>

#include "base/bytes.h"

namespace macrovpn::peers {
namespace {

constexpr uint8_t kVersion = 1;
constexpr int64_t kHour = 3600;

}  // namespace

void MiddleSet::add(const PeerId& id, Wall now, Rng& rng) {
  const bool known =
      std::any_of(middles_.begin(), middles_.end(), [&](const Middle& m) { return m.id == id; });
  if (known || !wants_more()) return;
  middles_.push_back({id, now + rng.between(kShortest, kLongest)});
}

void MiddleSet::drop_expired(Wall now) {
  std::erase_if(middles_, [&](const Middle& m) { return m.until <= now; });
  for (Middle& m : middles_) m.until = std::min(m.until, now + kLongest);
}

std::vector<PeerId> MiddleSet::ids() const {
  std::vector<PeerId> out;
  for (const Middle& m : middles_) out.push_back(m.id);
  return out;
}

std::vector<uint8_t> MiddleSet::save() const {
  std::vector<uint8_t> out;
  Writer w(out);
  w.u8(kVersion).u8(static_cast<uint8_t>(middles_.size()));
  for (const Middle& m : middles_) w.bytes(m.id.bytes).le32(static_cast<uint32_t>(unix_seconds(m.until) / kHour));
  return out;
}

Result<MiddleSet> MiddleSet::load(Bytes b) {
  Reader r(b);
  MiddleSet out;
  if (r.u8() != kVersion) return fail("the saved middle relays are of an unknown version");
  const size_t n = r.u8();
  if (n > kSize) return fail("the saved middle relays are damaged");
  for (size_t i = 0; i < n; i++) {
    Middle m;
    m.id.bytes = r.fixed<20>();
    const int64_t until = int64_t{r.le32()} * kHour;
    if (until > UINT32_MAX) return fail("the saved middle relays are damaged");  // times elsewhere end there too
    m.until = wall_from_unix(until);
    out.middles_.push_back(m);
  }
  if (!r.done()) return fail("the saved middle relays are damaged");
  return out;
}

}  // namespace macrovpn::peers
