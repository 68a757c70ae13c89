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
      if (owners_.emplace(index, owner).second) return {index};
    }
  }
  Peer* find(SessionIndex i) const {
    const auto at = owners_.find(i.value);
    return at == owners_.end() ? nullptr : at->second;
  }
  void erase(SessionIndex i) { MV_ASSERT(owners_.erase(i.value) == 1); }
  size_t size() const { return owners_.size(); }

 private:
  ShardId shard_;
  Rng& rng_;
  std::unordered_map<uint32_t, Peer*> owners_;  // looked up, never walked
};

}  // namespace macrovpn::encryption
