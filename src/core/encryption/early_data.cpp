#include "core/encryption/early_data.h"

#include <algorithm>

#include "crypto/aead.h"

namespace macrovpn::encryption {
namespace {

constexpr size_t kPrekeys = 2;

Duration abs_of(Duration d) {
  return d < Duration::zero() ? -d : d;
}
Duration offset_of(Now now) {
  return now.wall.time_since_epoch() - now.mono.time_since_epoch();
}

}  // namespace

uint32_t early_slot(Wall wall) {
  return static_cast<uint32_t>(std::chrono::floor<std::chrono::seconds>(wall.time_since_epoch()) /
                               kSlotLength);
}

Secret<32> early_key(const Secret<32>& c1, const Secret<32>& shared, const ByteArray<8>& network) {
  constexpr std::string_view kLabel = "macrovpn early 1";
  Secret<32 + kLabel.size() + 8> input;
  auto at = std::copy(shared.reveal().begin(), shared.reveal().end(), input.fill().begin());
  at = std::copy(kLabel.begin(), kLabel.end(), at);
  std::copy(network.begin(), network.end(), at);
  return crypto::hkdf_blake2s(c1.reveal(), input.reveal(), 1).t1;
}

std::vector<uint8_t> seal_early_data(const Secret<32>& key, const crypto::Hash32& h1, Wall wall,
                                     Bytes plain) {
  std::vector<uint8_t> out(kSlotSize + plain.size() + crypto::kTagSize);
  store_le32(out.data(), early_slot(wall));
  std::copy(plain.begin(), plain.end(), out.begin() + kSlotSize);
  crypto::aead_seal(key, 0, h1, Bytes(out).first(kSlotSize + plain.size()), out);
  return out;
}

EarlyReplayCache::EarlyReplayCache(Rng& rng, size_t capacity) : capacity_(capacity) {
  rng.fill(key_.fill());
}

Drop EarlyReplayCache::add(Mono now, const PublicKey& ephemeral, const CallerKey& who, size_t share) {
  expire(now);
  // X25519 ignores the top bit, so both encodings of a point count as one.
  PublicKey canonical = ephemeral;
  canonical.bytes[31] &= 0x7f;
  const crypto::Mac16 mark = crypto::keyed_blake2s_128(key_.reveal(), {canonical.bytes});
  if (seen_.contains(mark)) return Drop::early_replayed;
  const auto mine = of_.find(who);
  if (seen_.size() >= capacity_ || (mine != of_.end() && mine->second >= share)) return Drop::early_full;
  seen_.emplace(mark, now + kKeep);
  order_.push_back({now + kKeep, mark, who});
  of_[who]++;
  return Drop::none;
}

void EarlyReplayCache::expire(Mono now) {
  while (!order_.empty() && order_.front().expiry <= now) {
    seen_.erase(order_.front().mark);
    const auto mine = of_.find(order_.front().who);
    if (--mine->second == 0) of_.erase(mine);
    order_.pop_front();
  }
}

EarlyStore::EarlyStore(Rng& rng, size_t cache_capacity) : rng_(rng), cache_(rng, cache_capacity) {}

PublicKey EarlyStore::renew(Now now) {
  EarlyStore::expire(now);
  // The first prekey after a start or a jump says where the calendar stands; later ones must not let it
  // creep.
  if (ring_.empty()) wall_minus_mono_ = offset_of(now);
  ring_.push_back({crypto::x25519_generate(rng_), now.mono + kPrekeyLifetime});
  if (ring_.size() > kPrekeys) ring_.pop_front();
  return ring_.back().pair.pub;
}

bool EarlyStore::calendar_jumped(Now now) const {
  return abs_of(offset_of(now) - wall_minus_mono_) > kWallTolerance;
}

// A calendar that went back makes old slots pass again after the cache forgot them; what they were sealed to
// is therefore erased.  Builds to a new prekey are safe: nobody has sealed to it before.
void EarlyStore::expire(Now now) {
  if (calendar_jumped(now)) ring_.clear();
  std::erase_if(ring_, [&](const Prekey& p) { return p.expiry <= now.mono; });
}

Mono EarlyStore::next_deadline() const {
  Mono out = kNever;
  for (const Prekey& p : ring_) out = std::min(out, p.expiry);
  return out;
}

std::vector<Prekey> EarlyStore::prekeys(Now now) {
  EarlyStore::expire(now);
  return {ring_.begin(), ring_.end()};
}

Drop EarlyStore::add(Mono now, const PublicKey& ephemeral, const CallerKey& who, size_t share) {
  return cache_.add(now, ephemeral, who, share);
}

void EarlyData::refresh(const std::vector<Prekey>& ring) {
  const auto is_gone = [&](const Ready& r) {
    return std::none_of(ring.begin(), ring.end(), [&](const Prekey& p) { return p.pair.pub == r.name; });
  };
  std::erase_if(ready_, is_gone);
  for (const Prekey& p : ring) {
    const bool is_ready = std::any_of(ready_.begin(), ready_.end(), [&](const Ready& r) { return r.name == p.pair.pub; });
    if (!is_ready) ready_.push_back({p.pair.pub, crypto::DhKey(p.pair.secret), p.expiry});
  }
}

void EarlyData::expire(Mono now) {
  std::erase_if(ready_, [&](const Ready& r) { return r.expiry <= now; });
}

Mono EarlyData::next_deadline() const {
  Mono out = kNever;
  for (const Ready& r : ready_) out = std::min(out, r.expiry);
  return out;
}

Result<std::vector<uint8_t>, Drop> EarlyData::open(Now now, const Request& r, Bytes sealed) {
  refresh(store_.prekeys(now));
  if (ready_.empty()) return Failure{Drop::early_disabled};
  if (sealed.size() < kSlotSize + crypto::kTagSize) return Failure{Drop::early_bad};
  std::vector<uint8_t> plain(sealed.size() - crypto::kTagSize);
  const bool opened = std::any_of(ready_.rbegin(), ready_.rend(), [&](const Ready& p) {
    const auto shared = p.key.shared_with(r.ephemeral);
    return shared.ok() && crypto::aead_open(early_key(r.c1, *shared, network_), 0, r.h1, sealed, plain);
  });
  if (!opened) return Failure{Drop::early_bad};
  const int64_t distance = int64_t{load_le32(plain.data())} - int64_t{early_slot(now.wall)};
  if (distance < -1 || distance > 1) return Failure{Drop::early_slot};
  if (const Drop d = store_.add(now.mono, r.ephemeral, r.who, r.share); d != Drop::none) return Failure{d};
  plain.erase(plain.begin(), plain.begin() + kSlotSize);
  return plain;
}

}  // namespace macrovpn::encryption
