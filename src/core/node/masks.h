// MaskTable: which header masks this node knows, and which source endpoints speak under which.
//
// Id 0 is plain, 1 our own key; the others are made on demand from public keys of relays in the directory.
// All that belongs to a relay sits in one entry: the mask under its key, the keys that we share with it, the
// endpoints that it speaks from.  Bounds:
//   - an entry whose key has left the directory and that carried nothing for a while goes (sweep()), so that
//     relays which change their keys do not pile up; kMaxMaskedRelays in all, more than a directory holds;
//   - a relay has at most kEndpointsPerRelay endpoints; which it called from longest ago goes first: one that calls from every port
//     that it has pushes out only its own;
//   - an endpoint is tried under at most kMasksPerEndpoint masks, the least recently used goes first.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>

#include "core/encryption/header_mask.h"
#include "core/node/trailer_numbers.h"
#include "model/ids.h"
#include "model/ip.h"
#include "model/network.h"

namespace macrovpn::node {

inline constexpr size_t kMaxMaskedRelays = 32'768;
// Each worker of a relay calls from a port of its own, and all answer from one; of both families.
inline constexpr size_t kEndpointsPerRelay = 2 * (kMaxShards + 1);
inline constexpr size_t kMasksPerEndpoint = 8;

// A mask, for another shard of this node.
struct MaskName {
  enum class Kind : uint8_t { plain, own, called, pair } kind = Kind::plain;
  PublicKey relay{};  // called, pair
};

class MaskTable {
 public:
  // common: the numbers of all shards; it outlives the table, and another sweeps it.
  MaskTable(const NetworkId& network, const KeyPair& self, size_t max_relays = kMaxMaskedRelays,
            TrailerNumbers* common = nullptr);

  // Nothing: the key cannot be used, or the table is full.
  std::optional<MaskId> called(const PublicKey& relay);  // handshakes to it; transport of its clients
  std::optional<MaskId> pair(const PublicKey& relay);    // transport between us and it
  bool is_pair(MaskId) const;
  // Of a pair mask that is known.
  const encryption::PairKeys& pair_keys(MaskId) const;
  // Of trailers to and from that relay (trailer_numbers.h).
  uint64_t next_number(MaskId pair, Wall now);
  bool accept_number(MaskId pair, uint64_t number, Wall now);
  // What a mask is called outside of this table; an id of it is good in here only.
  MaskName name_of(MaskId) const;
  std::optional<MaskId> id_of(const MaskName&);
  // From now on datagrams from `e` are tried under this mask too.
  void note_endpoint(const Endpoint& e, MaskId);

  // Masks a whole message by its type.  A pair mask is for transport only.  False: the mask is gone.
  bool mask(MaskId, MutBytes whole);
  struct Unmasked {
    MaskId mask;
    encryption::MessageType type;
  };
  // Tries plain, the masks noted for the endpoint, then our own.
  std::optional<Unmasked> unmask(const Endpoint& from, MutBytes whole);

  // A STUN message under our own key, which unmask() does not take.
  bool unmask_stun(MutBytes whole) const { return own_.unmask_stun(whole); }

  // Drops what `keep` does not want and nothing used since the last sweep.
  void sweep(const std::function<bool(const PublicKey&)>& keep);
  size_t relays() const { return relays_.size(); }
  size_t endpoints() const { return endpoints_.size(); }
  void check_invariants() const;

 private:
  // A mask id is 2 * slot, or 2 * slot + 1 for the pair.  Slots are not used again.
  struct Relay {
    PublicKey key;
    std::optional<encryption::MaskKey> called{};
    std::optional<encryption::PairKeys> pair{};
    std::deque<Endpoint> endpoints{};  // oldest first
    bool used = true;                  // since the last sweep
  };
  static uint32_t slot_of(MaskId id) { return id.value / 2; }
  Relay* entry(const PublicKey&, uint32_t& slot);
  Relay* find(MaskId);
  std::vector<MaskId>* masks_at(const Endpoint&);
  void forget_endpoint(const Endpoint&, uint32_t slot);

  NetworkId network_;
  KeyPair self_;
  size_t max_relays_;
  encryption::MaskKey own_;
  TrailerNumbers own_numbers_;
  TrailerNumbers& numbers_;
  std::map<uint32_t, Relay> relays_;  // by slot
  std::map<PublicKey, uint32_t> slots_;
  std::unordered_map<Endpoint, std::vector<MaskId>> endpoints_;  // most recently used first
  uint32_t next_slot_ = 1;
  // Packets come in runs: what was found last, until the tables lose something.
  Relay* last_relay_ = nullptr;
  uint32_t last_slot_ = 0;
  std::vector<MaskId>* last_masks_ = nullptr;
  Endpoint last_endpoint_;
};

}  // namespace macrovpn::node
