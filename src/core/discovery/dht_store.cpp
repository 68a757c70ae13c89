#include "core/discovery/dht_store.h"

#include <algorithm>

namespace macrovpn::discovery {
namespace {

bool is_relay(const IdentityKey& owner, const RelaySet& relays) {
  const PeerId id = peer_id_of(owner);
  const EntryPtr e = relays.find(short_id_of(id));
  return e && e->id == id && !e->convicted();
}

}  // namespace

std::optional<std::vector<uint8_t>> DhtStore::on_request(Wall now, DhtKind kind, Bytes body, const DhtPlaces& places, const RelaySet& relays) {
  const auto request = parse_dht_request(kind, body);
  if (!request) {
    counts_.malformed++;
    return std::nullopt;
  }
  if (kind == DhtKind::put) return encode_dht_stored(request->number, put(now, request->record, places, relays));
  return encode_dht_found(request->number, get(now, request->key));
}

DhtPut DhtStore::put(Wall now, Bytes bytes, const DhtPlaces& places, const RelaySet& relays) {
  expire(now);
  const auto record = open_dht_record(bytes, network_);
  if (!record || !is_timely(*record, now)) return counts_.bad++, DhtPut::bad;
  const DhtKey key = dht_key(network_, record->slot);
  const auto known = records_.find(key);
  if (known != records_.end() && record->seq <= known->second.seq) {
    const bool same = std::equal(bytes.begin(), bytes.end(), known->second.bytes.begin(), known->second.bytes.end());
    return counts_.older++, same ? DhtPut::stored : DhtPut::older;
  }
  Held held{{bytes.begin(), bytes.end()}, record->slot.owner, record->seq, record->expiry, is_relay(record->slot.owner, relays)};
  if (known != records_.end()) {
    drop(known);  // by a newer one of the same owner: its room is this one's
  } else {
    const auto holders = places.closest(key, kMaxDhtRank);
    if (std::find(holders.begin(), holders.end(), self_) == holders.end()) return counts_.not_ours++, DhtPut::not_ours;
  }
  if (!make_room(held)) return counts_.full++, DhtPut::full;
  first_expiry_ = std::min(first_expiry_, held.expiry);
  of_owner_[held.owner]++;
  of_strangers_ += !held.of_relay;
  records_[key] = std::move(held);
  counts_.stored++;
  return DhtPut::stored;
}

bool DhtStore::make_room(const Held& newcomer) {
  const auto own = of_owner_.find(newcomer.owner);
  if (own != of_owner_.end() && own->second >= kMaxDhtOfOwner) return false;
  if (!newcomer.of_relay && of_strangers_ >= kMaxDhtOfStrangers) return false;
  if (records_.size() < kMaxDhtRecords) return true;
  if (!newcomer.of_relay || of_strangers_ == 0) return false;
  auto first = records_.end();
  for (auto it = records_.begin(); it != records_.end(); ++it) {
    if (!it->second.of_relay && (first == records_.end() || it->second.expiry < first->second.expiry)) first = it;
  }
  drop(first);
  return true;
}

void DhtStore::drop(Records::iterator it) {
  const auto own = of_owner_.find(it->second.owner);
  if (--own->second == 0) of_owner_.erase(own);
  of_strangers_ -= !it->second.of_relay;
  records_.erase(it);
}

Bytes DhtStore::get(Wall now, const DhtKey& key) {
  const auto it = records_.find(key);
  if (it == records_.end() || it->second.expiry <= now) return counts_.missing++, Bytes();
  counts_.found++;
  return it->second.bytes;
}

void DhtStore::expire(Wall now) {
  if (now < first_expiry_) return;
  first_expiry_ = Wall::max();
  for (auto it = records_.begin(); it != records_.end();) {
    const auto next = std::next(it);
    if (it->second.expiry <= now) {
      drop(it);
    } else {
      first_expiry_ = std::min(first_expiry_, it->second.expiry);
    }
    it = next;
  }
}

void DhtStore::check_invariants() const {
  std::map<IdentityKey, size_t> owners;
  size_t strangers = 0;
  for (const auto& [key, held] : records_) {
    MV_ASSERT(held.expiry >= first_expiry_ && held.bytes.size() <= kMaxDhtRecord);
    owners[held.owner]++;
    strangers += !held.of_relay;
  }
  MV_ASSERT(owners == of_owner_ && strangers == of_strangers_);
  MV_ASSERT(records_.size() <= kMaxDhtRecords && strangers <= kMaxDhtOfStrangers);
  for (const auto& [owner, n] : owners) MV_ASSERT(n <= kMaxDhtOfOwner);
}

}  // namespace macrovpn::discovery
