// MaskTable: which header masks this node knows, and which source endpoints speak under which.
//
// Entry 0 is plain, 1 our own key; the others are made on demand from public keys of relays in the directory
// and live until the table is full, when the oldest endpoint entries go first.
#pragma once
#include <deque>
#include <map>
#include <optional>
#include <unordered_map>

#include "core/encryption/header_mask.h"
#include "model/ids.h"
#include "model/ip.h"
#include "model/network.h"

namespace macrovpn::node {

inline constexpr size_t kMaxMaskedEndpoints = 65'536;

class MaskTable {
 public:
  MaskTable(const NetworkId& network, const KeyPair& self);

  MaskId called(const PublicKey& relay);               // handshakes to it; transport of its clients
  std::optional<MaskId> pair(const PublicKey& relay);  // transport between us and it; nothing: a bad key
  const encryption::PairKeys& pair_keys(MaskId) const;
  bool is_pair(MaskId) const;
  // From now on datagrams from `e` are tried under this mask too.
  void note_endpoint(const Endpoint& e, MaskId);

  // Masks a whole message by its type.  A pair mask is for transport only.
  void mask(MaskId, MutBytes whole) const;
  struct Unmasked {
    MaskId mask;
    encryption::MessageType type;
  };
  // Tries plain, the masks noted for the endpoint, then our own.
  std::optional<Unmasked> unmask(const Endpoint& from, MutBytes whole) const;

 private:
  static constexpr size_t kPerEndpoint = 2;  // its called key and our pair
  NetworkId network_;
  KeyPair self_;
  std::map<MaskId, encryption::MaskKey> called_;
  std::map<MaskId, encryption::PairKeys> pairs_;
  std::map<PublicKey, MaskId> called_ids_, pair_ids_;
  std::unordered_map<Endpoint, std::vector<MaskId>> endpoints_;
  std::deque<Endpoint> endpoint_order_;
  uint32_t next_id_ = 2;
};

}  // namespace macrovpn::node
