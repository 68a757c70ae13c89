// IndexTable: our receiver indexes.  The shard sits in the high four bits, the rest is random, so that a
// datagram finds its worker and a stranger cannot guess a session.  An index is never drawn over a live one.
#pragma once
#include <unordered_map>

#include "base/rng.h"
#include "model/ids.h"

namespace macrovpn::encryption {

struct Peer;

class IndexTable {
 public:
  IndexTable(ShardId shard, Rng& rng) : shard_(shard), rng_(rng) {
    MV_ASSERT(shard.value < 1u << kShardBits);
  }
  SessionIndex draw(Peer* owner) {
    for (;;) {
      const uint32_t index = uint32_t{shard_.value} << (32 - kShardBits) | rng_.u32() >> kShardBits;
      if (!owners_.emplace(index, owner).second) continue;
      last_owner_ = nullptr, last_ = kNoIndex;
      return {index};
    }
  }
  Peer* find(SessionIndex i) const {
    if (last_ == i.value) return last_owner_;  // packets come in runs; no answer, too, is kept
    const auto at = owners_.find(i.value);
    last_ = i.value;
    return last_owner_ = at == owners_.end() ? nullptr : at->second;
  }
  void erase(SessionIndex i) {
    MV_ASSERT(owners_.erase(i.value) == 1);
    last_owner_ = nullptr, last_ = kNoIndex;
  }
  size_t size() const { return owners_.size(); }

 private:
  ShardId shard_;
  Rng& rng_;
  std::unordered_map<uint32_t, Peer*> owners_;  // looked up, never walked
  static constexpr uint64_t kNoIndex = UINT64_MAX;
  mutable uint64_t last_ = kNoIndex;  // what was looked up last, since the table changed
  mutable Peer* last_owner_ = nullptr;
};

}  // namespace macrovpn::encryption
