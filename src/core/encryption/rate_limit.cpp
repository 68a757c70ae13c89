#include "core/encryption/rate_limit.h"

namespace macrovpn::encryption {

// The bucket is kept as the time at which it is full again (GCRA): taking a token moves it one interval
// later, and a bucket that would be full later than `burst` intervals from now is empty.
bool RateLimit::allow(Mono now, const CallerKey& who, const Rate& rate) {
  if (rate.per_second == 0) return false;
  const Duration interval = Duration(1s) / rate.per_second;
  auto at = buckets_.find(who);
  if (at == buckets_.end()) {
    if (buckets_.size() >= max_callers_ && !make_room(now)) return false;
    at = buckets_.emplace(who, Bucket{now}).first;
  }
  const Mono full_at = std::max(at->second.full_at, now) + interval;
  if (full_at - now > interval * rate.burst) return false;
  at->second.full_at = full_at;
  return true;
}

bool RateLimit::make_room(Mono now) {
  if (now - last_sweep_ < 1s) return false;
  last_sweep_ = now;
  std::erase_if(buckets_, [&](const auto& entry) { return entry.second.full_at <= now; });
  return buckets_.size() < max_callers_;
}

}  // namespace macrovpn::encryption
