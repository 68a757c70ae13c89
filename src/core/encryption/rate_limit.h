// TokenBucket, and RateLimit: one per caller, before any Diffie-Hellman is spent on it.
//
// The table is bounded.  When it is full, buckets that have refilled are forgotten (they say nothing any
// more), at most once a second; if none has, new callers are refused until one does.
#pragma once
#include <map>

#include "base/time.h"
#include "model/caller_key.h"

namespace macrovpn::encryption {

struct Rate {
  unsigned per_second = 0;
  unsigned burst = 0;
};

// Kept as the time at which it is full again (GCRA): a token moves that one interval later, and a bucket that would be
// full later than `burst` intervals from now is empty.
class TokenBucket {
 public:
  bool take(Mono now, const Rate&);
  bool full(Mono now) const { return full_at_ <= now; }

 private:
  Mono full_at_ = kLongAgo;
};

class RateLimit {
 public:
  static constexpr size_t kMaxCallers = 65'536;
  explicit RateLimit(size_t max_callers = kMaxCallers) : max_callers_(max_callers) {}
  bool allow(Mono now, const CallerKey&, const Rate&);
  size_t size() const { return buckets_.size(); }

 private:
  bool make_room(Mono now);

  size_t max_callers_;
  std::map<CallerKey, TokenBucket> buckets_;
  Mono last_sweep_ = kLongAgo;
};

}  // namespace macrovpn::encryption
