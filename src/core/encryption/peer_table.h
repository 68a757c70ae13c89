// PeerTable: who owns the peers, found by ref (data path), by static key (initiations), by deadline (timers).
//
// A ref is the shard, a count that never repeats and the slot: `shard << 60 | count << 24 | slot`.  So a look-up is one array
// access, a stale ref or one of another shard finds nobody, and refs sort by age.
#pragma once
#include <map>
#include <set>
#include <vector>

#include "core/encryption/peer.h"

namespace macrovpn::encryption {

class PeerTable {
 public:
  explicit PeerTable(ShardId shard) : shard_(shard) {}
  // A hop has a key of ours and is found by ref and index only, so it takes no name.
  Peer& add(std::unique_ptr<Peer>);
  void remove(Peer&);  // the caller has freed its indexes
  Peer* find(PeerRef) const;
  Peer* find(const PublicKey&) const;  // configured or ephemeral
  size_t count(PeerKind k) const { return counts_[static_cast<size_t>(k)]; }
  std::vector<PeerRef> refs() const;  // in order
  template <class F>
  void for_each(F f) const {  // by slot
    for (const auto& p : slots_) {
      if (p) f(*p);
    }
  }

  void schedule(Peer&, Mono deadline);  // kNever: none
  Mono next_deadline() const { return deadlines_.empty() ? kNever : deadlines_.begin()->first; }
  Peer* take_due(Mono now);  // unscheduled by this; nobody when none is due

  void check_invariants() const;

 private:
  static constexpr unsigned kSlotBits = 24;
  std::vector<std::unique_ptr<Peer>> slots_;
  std::vector<uint32_t> free_;
  ShardId shard_;
  uint64_t made_ = 0;
  std::map<PublicKey, Peer*> by_key_;
  std::set<std::pair<Mono, PeerRef>> deadlines_;
  std::array<size_t, 3> counts_{};
};

}  // namespace macrovpn::encryption
