#include "core/node/masks.h"

#include <algorithm>

namespace macrovpn::node {

using encryption::MessageType;

MaskTable::MaskTable(const NetworkId& network, const KeyPair& self) : network_(network), self_(self) {
  called_.emplace(kOwnMask, encryption::MaskKey(network.bytes, self.pub));
  called_ids_[self.pub] = kOwnMask;
}

MaskId MaskTable::called(const PublicKey& relay) {
  const auto [it, fresh] = called_ids_.try_emplace(relay, MaskId{next_id_});
  if (fresh) called_.emplace(MaskId{next_id_++}, encryption::MaskKey(network_.bytes, relay));
  return it->second;
}

std::optional<MaskId> MaskTable::pair(const PublicKey& relay) {
  if (const auto it = pair_ids_.find(relay); it != pair_ids_.end()) return it->second;
  auto keys = encryption::PairKeys::derive(network_.bytes, self_, relay);
  if (!keys.ok()) return std::nullopt;
  const MaskId id{next_id_++};
  pairs_.emplace(id, std::move(keys).value());
  pair_ids_[relay] = id;
  return id;
}

const encryption::PairKeys& MaskTable::pair_keys(MaskId id) const {
  return pairs_.at(id);
}
bool MaskTable::is_pair(MaskId id) const {
  return pairs_.contains(id);
}

void MaskTable::note_endpoint(const Endpoint& e, MaskId id) {
  const auto [it, fresh] = endpoints_.try_emplace(e);
  if (fresh) {
    endpoint_order_.push_back(e);
    if (endpoint_order_.size() > kMaxMaskedEndpoints) {
      endpoints_.erase(endpoint_order_.front());
      endpoint_order_.pop_front();
    }
  }
  auto& list = it->second;
  if (std::find(list.begin(), list.end(), id) != list.end()) return;
  if (list.size() >= kPerEndpoint) list.erase(list.begin());
  list.push_back(id);
}

void MaskTable::mask(MaskId id, MutBytes whole) const {
  if (id == kPlain) return;
  if (const auto it = pairs_.find(id); it != pairs_.end()) {
    MV_ASSERT(whole[0] == static_cast<uint8_t>(MessageType::transport));
    it->second.mask_transport(whole.data());
    return;
  }
  called_.at(id).mask(whole);
}

std::optional<MaskTable::Unmasked> MaskTable::unmask(const Endpoint& from, MutBytes whole) const {
  if (encryption::is_message(whole)) return Unmasked{kPlain, static_cast<MessageType>(whole[0])};
  if (whole.size() < encryption::kTransportOverhead) return std::nullopt;
  const auto attempt = [&](MaskId id) -> std::optional<Unmasked> {
    if (const auto it = pairs_.find(id); it != pairs_.end()) {
      if (it->second.unmask(whole)) return Unmasked{id, MessageType::transport};
      return std::nullopt;
    }
    if (const auto type = called_.at(id).unmask(whole)) return Unmasked{id, *type};
    return std::nullopt;
  };
  if (const auto it = endpoints_.find(from); it != endpoints_.end()) {
    for (const MaskId id : it->second) {
      if (const auto found = attempt(id)) return found;
    }
  }
  return attempt(kOwnMask);
}

}  // namespace macrovpn::node
