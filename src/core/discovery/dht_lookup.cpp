#include "core/discovery/dht_lookup.h"

#include <algorithm>
#include <set>

namespace macrovpn::discovery {

DhtGet::DhtGet(const Network& network, DhtService service, const IdentityKey& owner, const DhtName& name, uint32_t number)
    : network_(network), slot_{static_cast<uint8_t>(service), owner, name, 0}, number_(number) {}

void DhtGet::start(const Now& now, const DhtPlaces& places, DhtOut& out) {
  MV_ASSERT(wave_ == 0 && asked_.empty());
  slot_.day = dht_day(now.wall);
  wave_ends_ = now.mono + kDhtWave;
  ask(slot_, number_, 0, places, out);
  go_on(now, places, out);
}

void DhtGet::ask(const DhtSlot& slot, uint32_t number, size_t skip, const DhtPlaces& places, DhtOut& out) {
  const DhtKey key = dht_key(network_.id, slot);
  for (const PeerId& relay : places.closest(key, kHolders, skip)) {
    // A directory that changed meanwhile may name one again.
    if (!asked_.emplace(Question{relay, number}, DhtAsked{wave_}).second) continue;
    open_++;
    out.asks.push_back({relay, DhtKind::get, encode_dht_get(number, key)});
  }
}

void DhtGet::next_wave(const Now& now, const DhtPlaces& places, DhtOut& out) {
  wave_++;
  if (is_done()) return;
  if (best_) {
    wave_ = kWaves;
    return;
  }
  open_ = 0;
  wave_ends_ = now.mono + kDhtWave;
  ask(slot_, number_, kHolders, places, out);
  DhtSlot yesterday = slot_;
  yesterday.day--;
  ask(yesterday, number_ + 1, 0, places, out);
}

void DhtGet::go_on(const Now& now, const DhtPlaces& places, DhtOut& out) {
  while (!is_done() && (open_ == 0 || now.mono >= wave_ends_)) next_wave(now, places, out);
}

void DhtGet::on_found(const Now& now, const PeerId& from, Bytes body, const DhtPlaces& places, DhtOut& out) {
  const auto answer = parse_dht_answer(DhtKind::found, body);
  const auto asked = answer ? asked_.find({from, answer->number}) : asked_.end();
  if (is_done() || asked == asked_.end() || std::exchange(asked->second.back, true)) return;
  asked->second.answered = true;
  open_ -= asked->second.wave == wave_;  // who was silent in an earlier one is not waited for
  DhtSlot slot = slot_;
  if (answer->number != number_) slot.day--;
  auto record = open_dht_record(answer->record, network_.id);
  if (record && record->slot == slot && is_timely(*record, now.wall) && (!best_ || record->seq > best_->seq)) best_ = std::move(record);
  go_on(now, places, out);
}

void DhtGet::on_failed(const Now& now, const PeerId& relay, const DhtPlaces& places, DhtOut& out) {
  for (const uint32_t n : {number_, number_ + 1}) {
    const auto asked = asked_.find({relay, n});
    if (is_done() || asked == asked_.end() || std::exchange(asked->second.back, true)) continue;
    open_ -= asked->second.wave == wave_;  // who was silent in an earlier one is not waited for
  }
  go_on(now, places, out);
}

void DhtGet::on_deadline(const Now& now, const DhtPlaces& places, DhtOut& out) { go_on(now, places, out); }

size_t DhtGet::relays_asked() const {
  std::set<PeerId> relays;
  for (const auto& [q, asked] : asked_) relays.insert(q.relay);
  return relays.size();
}

size_t DhtGet::relays_answered() const {
  std::set<PeerId> relays;
  for (const auto& [q, asked] : asked_) {
    if (asked.answered) relays.insert(q.relay);
  }
  return relays.size();
}

DhtPutOperation::DhtPutOperation(std::vector<uint8_t> record, const DhtKey& key, uint32_t number)
    : record_(std::move(record)), key_(key), number_(number) {}

DhtPutOperation::DhtPutOperation(std::vector<uint8_t> record, const DhtKey& key, uint32_t number, std::vector<PeerId> only)
    : DhtPutOperation(std::move(record), key, number) {
  only_ = std::move(only);
}

void DhtPutOperation::start(const Now& now, const DhtPlaces& places, DhtOut& out) {
  MV_ASSERT(wave_ == 0 && asked_.empty());
  wave_ends_ = now.mono + kDhtWave;
  wanted_ = std::min(kAcksWanted, std::max<size_t>((places.size() + 1) / 2, 1));
  ask(only_ ? *only_ : places.closest(key_), out);
  go_on(now, places, out);
}

void DhtPutOperation::ask(const std::vector<PeerId>& relays, DhtOut& out) {
  for (const PeerId& relay : relays) {
    if (!asked_.emplace(relay, Asked{{wave_}}).second) continue;
    open_++;
    out.asks.push_back({relay, DhtKind::put, encode_dht_put(number_, record_)});
  }
}

void DhtPutOperation::go_on(const Now& now, const DhtPlaces& places, DhtOut& out) {
  while (!is_done() && (open_ == 0 || now.mono >= wave_ends_)) {
    wave_++;
    if (is_done()) return;
    if (succeeded() || only_) {
      wave_ = kWaves;
      return;
    }
    open_ = 0;
    wave_ends_ = now.mono + kDhtWave;
    ask(places.closest(key_, kHolders, kHolders), out);
  }
}

void DhtPutOperation::on_stored(const Now& now, const PeerId& from, Bytes body, const DhtPlaces& places, DhtOut& out) {
  const auto answer = parse_dht_answer(DhtKind::stored, body);
  const auto asked = asked_.find(from);
  if (is_done() || !answer || answer->number != number_ || asked == asked_.end() || std::exchange(asked->second.back, true)) return;
  open_ -= asked->second.wave == wave_;  // who was silent in an earlier one is not waited for
  asked->second.answered = true;
  asked->second.stored = answer->outcome == DhtPut::stored;
  stored_ += asked->second.stored;
  older_ += answer->outcome == DhtPut::older;
  go_on(now, places, out);
}

void DhtPutOperation::on_failed(const Now& now, const PeerId& relay, const DhtPlaces& places, DhtOut& out) {
  const auto asked = asked_.find(relay);
  if (is_done() || asked == asked_.end() || std::exchange(asked->second.back, true)) return;
  open_ -= asked->second.wave == wave_;  // who was silent in an earlier one is not waited for
  go_on(now, places, out);
}

void DhtPutOperation::on_deadline(const Now& now, const DhtPlaces& places, DhtOut& out) { go_on(now, places, out); }

size_t DhtPutOperation::answered() const {
  return static_cast<size_t>(std::count_if(asked_.begin(), asked_.end(), [](const auto& a) { return a.second.answered; }));
}

std::vector<PeerId> DhtPutOperation::lacking() const {
  std::vector<PeerId> out;
  for (const auto& [relay, asked] : asked_) {
    if (!asked.stored) out.push_back(relay);
  }
  return out;
}

bool DhtKeeper::keep(DhtService service, const DhtName& name, std::vector<uint8_t> value, Wall until) {
  const std::pair key{static_cast<uint8_t>(service), name};
  if (value.size() > kMaxDhtValue || (kept_.size() >= kMaxDhtKept && !kept_.contains(key))) return false;
  Kept& kept = kept_[key];
  kept.told.clear();
  kept.value = std::move(value);
  kept.until = until;
  look_at_ = kLongAgo;
  return true;
}

void DhtKeeper::forget(DhtService service, const DhtName& name) { kept_.erase({static_cast<uint8_t>(service), name}); }

void DhtKeeper::missed(const DhtKey& key, const PeerId& relay) {
  for (auto& [name, kept] : kept_) {
    if (const auto told = kept.told.find(key); told != kept.told.end()) told->second.erase(relay);
  }
}

std::vector<DhtKeeper::Due> DhtKeeper::due(const Now& now, const DhtPlaces& places) {
  std::vector<Due> out;
  if (now.mono < look_at_) return out;
  look_at_ = now.mono + kDhtMovesLooked;
  std::erase_if(kept_, [&](const auto& k) { return k.second.until <= now.wall; });
  const uint32_t today = dht_day(now.wall), soon = dht_day(now.wall + std::chrono::hours(1));
  for (auto& [name, kept] : kept_) {
    for (uint32_t day = today; day <= std::min(soon, dht_day(kept.until)); day++) {
      const DhtSlot slot{name.first, key_.pub, name.second, day};
      if (Due d = due_of(now, places, slot, kept); !d.relays.empty()) out.push_back(std::move(d));
    }
    const DhtKey of_today = dht_key(network_.id, {name.first, key_.pub, name.second, today});
    const DhtKey of_soon = dht_key(network_.id, {name.first, key_.pub, name.second, soon});
    std::erase_if(kept.told, [&](const auto& t) { return t.first != of_today && t.first != of_soon; });
  }
  return out;
}

DhtKeeper::Due DhtKeeper::due_of(const Now& now, const DhtPlaces& places, const DhtSlot& slot, Kept& kept) {
  Due d{.record = {}, .key = dht_key(network_.id, slot), .relays = {}};
  auto& told = kept.told[d.key];
  const auto holders = places.closest(d.key);
  for (const PeerId& relay : holders) {
    const auto at = told.find(relay);
    if (at == told.end() || now.mono - at->second >= kDhtToldAgain) d.relays.push_back(relay);
  }
  std::erase_if(told, [&](const auto& t) { return std::find(holders.begin(), holders.end(), t.first) == holders.end(); });
  if (d.relays.empty()) return d;
  for (const PeerId& relay : d.relays) told[relay] = now.mono;
  kept.seq = std::max<uint64_t>(kept.seq + 1, static_cast<uint64_t>(std::max<int64_t>(unix_seconds(now.wall), 0)) * 1000);
  d.record = sign_dht_record({slot, kept.seq, std::min(now.wall + kMaxDhtLife, kept.until), kept.value}, network_.id, key_);
  return d;
}

}  // namespace macrovpn::discovery
