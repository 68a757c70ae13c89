#include "core/routing/leg_table.h"

namespace macrovpn::routing {

Result<LegTable::Leg*, ErrorCode> LegTable::open(PeerRef upstream, const CallerKey& caller, LegNumber number,
                                                 const NextHop& next, const Splice& splice) {
  if (const auto it = legs_.find({upstream, number}); it != legs_.end()) {
    if (it->second.next != next) return Failure{ErrorCode::no_such_leg};
    return &it->second;
  }
  size_t& count = per_upstream_[upstream];
  const size_t share = is_relay(caller) ? limits_.per_relay : limits_.per_source;
  if (count >= limits_.per_upstream || !shares_.try_add(caller, share)) {
    if (count == 0) per_upstream_.erase(upstream);
    return Failure{ErrorCode::full};
  }
  count++;
  Leg& leg = legs_[{upstream, number}];
  leg.upstream = upstream;
  leg.caller = caller;
  leg.number = number;
  leg.next = next;
  leg.splice = splice;
  leg.direct = splice.link.value == 0;
  if (!leg.direct) spliced_[splice] = &leg;
  deaths_[{death_of(leg), {upstream, number}}] = 0;
  return &leg;
}

Mono LegTable::death_of(const Leg& leg) const {
  return leg.indexes[leg.newest].registered + (leg.answered ? kIndexLife : kUnansweredLife);
}

void LegTable::answered(Leg& leg) {
  if (leg.answered) return;
  const Key name{leg.upstream, leg.number};
  deaths_.erase({death_of(leg), name});
  leg.answered = true;
  deaths_[{death_of(leg), name}] = 0;
}

Result<void, ErrorCode> LegTable::register_index(Mono now, Leg& leg, SessionIndex sender) {
  const UpKey key{leg.next.endpoint, sender};
  if (const auto it = up_.find(key); it != up_.end()) {
    const Leg& owner = *it->second;
    for (const auto& i : owner.indexes) {
      if (i.index == sender && now - i.registered < kIndexLife) return Failure{ErrorCode::index_in_use};
    }
  }
  const Key name{leg.upstream, leg.number};
  deaths_.erase({death_of(leg), name});
  leg.newest = (leg.newest + 1) % kIndexesPerLeg;
  last_up_ = nullptr;
  auto& slot = leg.indexes[leg.newest];
  if (const auto old = up_.find({slot.endpoint, slot.index}); old != up_.end() && old->second == &leg)
    up_.erase(old);
  slot = {sender, leg.next.endpoint, now};
  up_[key] = &leg;
  deaths_[{death_of(leg), name}] = 0;
  return {};
}

LegTable::Leg* LegTable::find_down(PeerRef upstream, LegNumber number) {
  if (last_down_ != nullptr && last_down_->number == number && last_down_->upstream == upstream) return last_down_;
  const auto it = legs_.find({upstream, number});
  return it == legs_.end() ? nullptr : last_down_ = &it->second;
}

LegTable::Leg* LegTable::find_up(Mono now, const Endpoint& from, SessionIndex receiver) {
  const UpKey key{from, receiver};
  if (last_up_ == nullptr || !(key == last_up_key_)) {
    const auto it = up_.find(key);
    if (it == up_.end()) return nullptr;
    last_up_ = it->second;
    last_up_key_ = key;
  }
  for (const auto& i : last_up_->indexes) {
    if (i.index == receiver && now - i.registered < kIndexLife) return last_up_;
  }
  return nullptr;
}

void LegTable::forget_indexes(const Leg& leg) {
  last_down_ = last_up_ = nullptr;
  for (const auto& i : leg.indexes) {
    const auto it = up_.find({i.endpoint, i.index});
    if (it != up_.end() && it->second == &leg) up_.erase(it);
  }
}

void LegTable::redirect(Leg& leg, const NextHop& next) {
  leg.next = next;
  leg.direct = true;
}

LegTable::Leg* LegTable::find_spliced(const Splice& splice) {
  const auto it = spliced_.find(splice);
  return it == spliced_.end() ? nullptr : it->second;
}

std::vector<std::pair<PeerRef, LegNumber>> LegTable::spliced_through(PeerRef link) const {
  std::vector<std::pair<PeerRef, LegNumber>> out;
  for (auto it = spliced_.lower_bound({link, {0}}); it != spliced_.end() && it->first.link == link; ++it) {
    out.emplace_back(it->second->upstream, it->second->number);
  }
  return out;
}

void LegTable::close(PeerRef upstream, LegNumber number) {
  const auto it = legs_.find({upstream, number});
  if (it == legs_.end()) return;
  forget_indexes(it->second);
  if (it->second.splice.link.value != 0) spliced_.erase(it->second.splice);
  deaths_.erase({death_of(it->second), it->first});
  shares_.remove(it->second.caller);
  legs_.erase(it);
  const auto count = per_upstream_.find(upstream);
  if (--count->second == 0) per_upstream_.erase(count);
}

void LegTable::close_all(PeerRef upstream) {
  for (;;) {
    const auto it = legs_.lower_bound({upstream, LegNumber{0}});
    if (it == legs_.end() || it->first.first != upstream) return;
    close(upstream, it->first.second);
  }
}

void LegTable::expire(Mono now) {
  while (!deaths_.empty() && deaths_.begin()->first.first <= now) {
    const Key key = deaths_.begin()->first.second;
    close(key.first, key.second);
  }
}

Mono LegTable::next_deadline() const {
  return deaths_.empty() ? kNever : deaths_.begin()->first.first;
}

void LegTable::check_invariants() const {
  MV_ASSERT(legs_.size() <= limits_.total && deaths_.size() == legs_.size());
  std::map<PeerRef, size_t> counts;
  for (const auto& [key, leg] : legs_) {
    MV_ASSERT(key.first == leg.upstream && key.second == leg.number);
    MV_ASSERT(deaths_.contains({death_of(leg), key}));
    counts[key.first]++;
  }
  MV_ASSERT(counts == per_upstream_ && (&shares_ != &own_shares_ || shares_.all() == legs_.size()));
  for (const auto& [upstream, n] : counts) MV_ASSERT(n <= limits_.per_upstream);
  for (const auto& [splice, leg] : spliced_) MV_ASSERT(leg->splice == splice && legs_.contains({leg->upstream, leg->number}));
  MV_ASSERT(up_.size() <= legs_.size() * kIndexesPerLeg);
}

}  // namespace macrovpn::routing
