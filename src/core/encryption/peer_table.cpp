#include "core/encryption/peer_table.h"

namespace macrovpn::encryption {

Peer& PeerTable::add(std::unique_ptr<Peer> peer) {
  if (free_.empty()) {
    MV_ASSERT(slots_.size() < size_t{1} << kSlotBits);
    free_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  peer->ref = {uint64_t{shard_.value} << (64 - kShardBits) | ++made_ << kSlotBits | slot};
  if (peer->kind != PeerKind::hop) MV_ASSERT(by_key_.emplace(peer->key, peer.get()).second);
  counts_[static_cast<size_t>(peer->kind)]++;
  slots_[slot] = std::move(peer);
  return *slots_[slot];
}

void PeerTable::remove(Peer& peer) {
  schedule(peer, kNever);
  if (peer.kind != PeerKind::hop) by_key_.erase(peer.key);
  counts_[static_cast<size_t>(peer.kind)]--;
  const auto slot = static_cast<uint32_t>(peer.ref.value & ((1u << kSlotBits) - 1));
  slots_[slot].reset();
  free_.push_back(slot);
}

Peer* PeerTable::find(PeerRef ref) const {
  const size_t slot = ref.value & ((1u << kSlotBits) - 1);
  if (slot >= slots_.size() || slots_[slot] == nullptr || slots_[slot]->ref != ref) return nullptr;
  return slots_[slot].get();
}

Peer* PeerTable::find(const PublicKey& key) const {
  const auto at = by_key_.find(key);
  return at == by_key_.end() ? nullptr : at->second;
}

std::vector<PeerRef> PeerTable::refs() const {
  std::vector<PeerRef> out;
  for (const auto& p : slots_) {
    if (p != nullptr) out.push_back(p->ref);
  }
  std::sort(out.begin(), out.end());
  return out;
}

void PeerTable::schedule(Peer& peer, Mono deadline) {
  if (peer.scheduled == deadline) return;
  if (peer.scheduled != kNever) deadlines_.erase({peer.scheduled, peer.ref});
  if (deadline != kNever) deadlines_.emplace(deadline, peer.ref);
  peer.scheduled = deadline;
}

Peer* PeerTable::take_due(Mono now) {
  if (next_deadline() > now || deadlines_.empty()) return nullptr;
  Peer* peer = find(deadlines_.begin()->second);
  MV_ASSERT(peer != nullptr);
  schedule(*peer, kNever);
  return peer;
}

void PeerTable::check_invariants() const {
  size_t scheduled = 0, named = 0;
  std::array<size_t, 3> counts{};
  for (size_t slot = 0; slot < slots_.size(); slot++) {
    const Peer* p = slots_[slot].get();
    if (p == nullptr) continue;
    MV_ASSERT((p->ref.value & ((1u << kSlotBits) - 1)) == slot);
    counts[static_cast<size_t>(p->kind)]++;
    if (p->kind != PeerKind::hop) {
      named++;
      MV_ASSERT(find(p->key) == p);
    }
    if (p->scheduled != kNever) {
      scheduled++;
      MV_ASSERT(deadlines_.contains({p->scheduled, p->ref}));
    }
  }
  MV_ASSERT(scheduled == deadlines_.size() && named == by_key_.size() && counts == counts_);
  MV_ASSERT(counts[0] + counts[1] + counts[2] + free_.size() == slots_.size());
}

}  // namespace macrovpn::encryption
