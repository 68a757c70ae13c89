// Bank: what a relay's operator lends, for all shards of the relay together; each draws credit from it in chunks, so that no
// packet asks here, and one flow alone may still use all of it.
//
// The rate is a bucket (GCRA, ITU-T I.371); credit that was drawn and not used yet counts as used.  The shell's is safe to be used
// by many threads.
#pragma once
#include <array>

#include "base/time.h"
#include "model/ids.h"
#include "model/relay.h"

namespace macrovpn::peers {

class Bank {
 public:
  explicit Bank(Bandwidth cap) : rate_(cap.bytes_per_second) {}
  virtual ~Bank() = default;

  struct Ask {
    ShardId shard;
    uint64_t always = 0;  // bytes that were carried without credit since it asked before
    size_t needed = 0;    // bytes; more if there is room: up to
    size_t wanted = 0;
    Duration most{};      // how full the bucket may become
    uint64_t window = 0;  // of time, and how many circuits sent in it through this shard
    size_t circuits = 0;
  };
  struct Answer {
    size_t bytes = 0;     // of credit; 0: refused
    Mono full_at;         // when the bucket will have refilled
    size_t circuits = 0;  // through other shards
  };
  virtual Answer draw(Mono now, const Ask&);
  // Nothing more is lent once so many bytes were.
  virtual void end_at(uint64_t bytes) { end_at_ = bytes; }

 private:
  Duration cost_of(size_t bytes) const {
    return rate_ == 0 ? Duration::zero() : Duration(static_cast<int64_t>(bytes * 1'000'000'000 / rate_));
  }
  struct Crowd {
    uint64_t window = 0;
    size_t circuits = 0;
  };
  uint64_t rate_;
  Mono full_at_ = kLongAgo;
  uint64_t lent_ = 0, end_at_ = UINT64_MAX;
  std::array<Crowd, kMaxShards> crowds_{};
};

}  // namespace macrovpn::peers
