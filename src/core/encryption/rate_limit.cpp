#include "core/encryption/rate_limit.h"

namespace macrovpn::encryption {

bool TokenBucket::take(Mono now, const Rate& rate) {
  if (rate.per_second == 0) return false;
  const Duration interval = Duration(1s) / rate.per_second;
  const Mono full_at = std::max(full_at_, now) + interval;
  if (full_at - now > interval * rate.burst) return false;
  full_at_ = full_at;
  return true;
}

bool RateLimit::allow(Mono now, const CallerKey& who, const Rate& rate) {
  auto at = buckets_.find(who);
  if (at == buckets_.end()) {
    if (buckets_.size() >= max_callers_ && !make_room(now)) return false;
    at = buckets_.try_emplace(who).first;
  }
  return at->second.take(now, rate);
}

bool RateLimit::make_room(Mono now) {
  if (now - last_sweep_ < 1s) return false;
  last_sweep_ = now;
  std::erase_if(buckets_, [&](const auto& entry) { return entry.second.full(now); });
  return buckets_.size() < max_callers_;
}

}  // namespace macrovpn::encryption
