#include "core/node/masks.h"

#include <algorithm>

namespace macrovpn::node {

using encryption::MessageType;

namespace {

bool is_pair_id(MaskId id) {
  return id.value > kOwnMask.value && id.value % 2 == 1;
}

}  // namespace

MaskTable::MaskTable(const NetworkId& network, const KeyPair& self, size_t max_relays, TrailerNumbers* common)
    : network_(network),
      self_(self),
      max_relays_(max_relays),
      own_(network.bytes, self.pub),
      numbers_(common ? *common : own_numbers_) {}

MaskTable::Relay* MaskTable::entry(const PublicKey& key, uint32_t& slot) {
  if (const auto it = slots_.find(key); it != slots_.end()) {
    slot = it->second;
    return &relays_.at(slot);
  }
  if (relays_.size() >= max_relays_) return nullptr;
  slot = next_slot_++;
  slots_[key] = slot;
  Relay& r = relays_[slot];
  r.key = key;
  return &r;
}

MaskTable::Relay* MaskTable::find(MaskId id) {
  const uint32_t slot = slot_of(id);
  if (last_relay_ != nullptr && last_slot_ == slot) return last_relay_;
  const auto it = relays_.find(slot);
  if (it == relays_.end()) return nullptr;
  last_slot_ = slot;
  return last_relay_ = &it->second;
}

std::vector<MaskId>* MaskTable::masks_at(const Endpoint& e) {
  if (last_masks_ != nullptr && last_endpoint_ == e) return last_masks_;
  const auto it = endpoints_.find(e);
  if (it == endpoints_.end()) return nullptr;
  last_endpoint_ = e;
  return last_masks_ = &it->second;
}

std::optional<MaskId> MaskTable::called(const PublicKey& key) {
  if (key == self_.pub) return kOwnMask;
  uint32_t slot = 0;
  Relay* r = entry(key, slot);
  if (r == nullptr) return std::nullopt;
  if (!r->called) r->called.emplace(network_.bytes, key);
  r->used = true;
  return MaskId{2 * slot};
}

std::optional<MaskId> MaskTable::pair(const PublicKey& key) {
  uint32_t slot = 0;
  Relay* r = entry(key, slot);
  if (r == nullptr) return std::nullopt;
  if (!r->pair) {
    auto keys = encryption::PairKeys::derive(network_.bytes, self_, key);
    if (!keys.ok()) return std::nullopt;
    r->pair = std::move(keys).value();
  }
  r->used = true;
  return MaskId{2 * slot + 1};
}

bool MaskTable::is_pair(MaskId id) const {
  return is_pair_id(id);
}
const encryption::PairKeys& MaskTable::pair_keys(MaskId id) const {
  return *relays_.at(slot_of(id)).pair;
}

uint64_t MaskTable::next_number(MaskId pair, Wall now) {
  return numbers_.next(relays_.at(slot_of(pair)).key, now);
}
bool MaskTable::accept_number(MaskId pair, uint64_t number, Wall now) {
  return numbers_.accept(relays_.at(slot_of(pair)).key, number, now);
}

MaskName MaskTable::name_of(MaskId id) const {
  if (id == kPlain) return {};
  if (id == kOwnMask) return {MaskName::Kind::own, {}};
  const auto it = relays_.find(slot_of(id));
  if (it == relays_.end()) return {};
  return {is_pair_id(id) ? MaskName::Kind::pair : MaskName::Kind::called, it->second.key};
}

std::optional<MaskId> MaskTable::id_of(const MaskName& name) {
  switch (name.kind) {
    case MaskName::Kind::plain:
      return kPlain;
    case MaskName::Kind::own:
      return kOwnMask;
    case MaskName::Kind::called:
      return called(name.relay);
    case MaskName::Kind::pair:
      return pair(name.relay);
  }
  return std::nullopt;
}

void MaskTable::forget_endpoint(const Endpoint& e, uint32_t slot) {
  const auto it = endpoints_.find(e);
  if (it == endpoints_.end()) return;
  std::erase_if(it->second, [&](MaskId id) { return slot_of(id) == slot; });
  if (!it->second.empty()) return;
  last_masks_ = nullptr;
  endpoints_.erase(it);
}

void MaskTable::note_endpoint(const Endpoint& e, MaskId id) {
  Relay* r = find(id);
  if (r == nullptr) return;
  auto& list = endpoints_[e];
  if (std::find(list.begin(), list.end(), id) == list.end()) {
    list.insert(list.begin(), id);
    if (list.size() > kMasksPerEndpoint) {
      const uint32_t last = slot_of(list.back());
      list.pop_back();
      const bool more = std::any_of(list.begin(), list.end(), [&](MaskId m) { return slot_of(m) == last; });
      if (!more) std::erase(relays_.at(last).endpoints, e);
    }
  }
  const auto known = std::find(r->endpoints.begin(), r->endpoints.end(), e);
  if (known != r->endpoints.end()) {
    std::rotate(known, known + 1, r->endpoints.end());
    return;
  }
  r->endpoints.push_back(e);
  if (r->endpoints.size() <= kEndpointsPerRelay) return;
  forget_endpoint(r->endpoints.front(), slot_of(id));
  r->endpoints.pop_front();
}

bool MaskTable::mask(MaskId id, MutBytes whole) {
  if (id == kPlain) return true;
  if (id == kOwnMask) {
    own_.mask(whole);
    return true;
  }
  Relay* r = find(id);
  if (r == nullptr) return false;
  r->used = true;
  if (is_pair_id(id)) {
    MV_ASSERT(whole[0] == static_cast<uint8_t>(MessageType::transport));
    r->pair->mask_transport(whole.data());
  } else {
    r->called->mask(whole);
  }
  return true;
}

std::optional<MaskTable::Unmasked> MaskTable::unmask(const Endpoint& from, MutBytes whole) {
  if (encryption::is_message(whole)) return Unmasked{kPlain, static_cast<MessageType>(whole[0])};
  if (whole.size() < encryption::kTransportOverhead) return std::nullopt;
  const auto attempt = [&](MaskId id) -> std::optional<MessageType> {
    Relay& r = *find(id);
    std::optional<MessageType> type;
    if (!is_pair_id(id)) {
      type = r.called->unmask(whole);
    } else if (r.pair->unmask(whole)) {
      type = MessageType::transport;
    }
    r.used |= type.has_value();
    return type;
  };
  if (auto* const list = masks_at(from)) {
    for (size_t i = 0; i < list->size(); i++) {
      const MaskId id = (*list)[i];
      const auto type = attempt(id);
      if (!type) continue;
      if (i != 0) std::rotate(list->begin(), list->begin() + static_cast<ptrdiff_t>(i), list->begin() + static_cast<ptrdiff_t>(i) + 1);
      return Unmasked{id, *type};
    }
  }
  if (const auto type = own_.unmask(whole)) return Unmasked{kOwnMask, *type};
  return std::nullopt;
}

void MaskTable::sweep(const std::function<bool(const PublicKey&)>& keep) {
  own_numbers_.sweep(keep);
  for (auto it = relays_.begin(); it != relays_.end();) {
    Relay& r = it->second;
    if (std::exchange(r.used, false) || keep(r.key)) {
      ++it;
      continue;
    }
    for (const Endpoint& e : r.endpoints) forget_endpoint(e, it->first);
    slots_.erase(r.key);
    last_relay_ = nullptr;
    it = relays_.erase(it);
  }
}

void MaskTable::check_invariants() const {
  MV_ASSERT(relays_.size() == slots_.size() && relays_.size() <= max_relays_);
  size_t named = 0;
  for (const auto& [slot, r] : relays_) {
    MV_ASSERT(slots_.at(r.key) == slot && slot < next_slot_);
    MV_ASSERT(r.endpoints.size() <= kEndpointsPerRelay);
    for (const Endpoint& e : r.endpoints) {
      const auto& list = endpoints_.at(e);
      MV_ASSERT(list.size() <= kMasksPerEndpoint);
      MV_ASSERT(std::any_of(list.begin(), list.end(), [&](MaskId id) { return slot_of(id) == slot; }));
    }
    named += r.endpoints.size();
  }
  MV_ASSERT(endpoints_.size() <= named);
}

}  // namespace macrovpn::node
