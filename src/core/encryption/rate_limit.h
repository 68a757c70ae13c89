// RateLimit: a token bucket per caller, before any Diffie-Hellman is spent on it.
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

class RateLimit {
 public:
  static constexpr size_t kMaxCallers = 65'536;
  explicit RateLimit(size_t max_callers = kMaxCallers) : max_callers_(max_callers) {}
  bool allow(Mono now, const CallerKey&, const Rate&);
  size_t size() const { return buckets_.size(); }

 private:
  struct Bucket {
    Mono full_at;  // when it will have refilled
  };
  bool make_room(Mono now);

  size_t max_callers_;
  std::map<CallerKey, Bucket> buckets_;
  Mono last_sweep_ = kLongAgo;
};

}  // namespace macrovpn::encryption
