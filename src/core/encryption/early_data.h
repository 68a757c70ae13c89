// Early data of a one-round-trip build (docs/protocol.md "Build in one round trip").
//
//   AEAD(key, nonce 0, H1, slot 4 ‖ plain)     key = first output of HKDF-BLAKE2s(C1, DH(e, prekey) ‖ label ‖
//   network)
//
// Noise protects against replay only from the second message on, so early data brings its own three locks:
// the prekey (erased after 36 h), the 10-minute slot, and a cache of every ephemeral that was ever accepted
// inside the slots that still pass.  The cache never evicts: a full one refuses, since forgetting is what a
// replayer waits for. What a thief of the prekey learns: next hops of at most 36 h, never traffic.
#pragma once
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "base/time.h"
#include "model/caller_key.h"
#include "core/encryption/drop.h"
#include "crypto/hash.h"
#include "crypto/x25519.h"

namespace macrovpn::encryption {

inline constexpr Duration kPrekeyLifetime = std::chrono::hours(36);
inline constexpr Duration kSlotLength = std::chrono::minutes(10);
inline constexpr size_t kSlotSize = 4;
// The calendar may be this far from where monotonic time says it should be before early data is disabled.
inline constexpr Duration kWallTolerance = std::chrono::minutes(10);

uint32_t early_slot(Wall);
Secret<32> early_key(const Secret<32>& c1, const Secret<32>& shared, const ByteArray<8>& network);

// Which ephemerals were accepted.
class EarlyReplayCache {
 public:
  static constexpr size_t kCapacity = 65'536;
  static constexpr size_t kShareOfSource = kCapacity / 64;
  static constexpr size_t kShareOfRelay = kCapacity / 8;
  // The slots that pass at one time span 30 minutes; the calendar may go back kWallTolerance unnoticed.
  static constexpr Duration kKeep = 3 * kSlotLength + kWallTolerance;

  EarlyReplayCache(Rng& rng, size_t capacity);
  // none, early_replayed or early_full.
  Drop add(Mono now, const PublicKey& ephemeral, const CallerKey& who, size_t share);
  size_t size() const { return seen_.size(); }

 private:
  struct Entry {
    Mono expiry;
    crypto::Mac16 mark;
    CallerKey who;
  };
  void expire(Mono now);

  Secret<32> key_;  // an outsider cannot aim at a bucket, a core dump does not name ephemerals
  size_t capacity_;
  std::map<crypto::Mac16, Mono> seen_;
  std::deque<Entry> order_;  // by expiry
  std::map<CallerKey, size_t> of_;
};

struct Prekey {
  KeyPair pair;
  Mono expiry;
};

// What all shards of a relay have in common: its prekeys, the check of the calendar, and what was accepted, so that what one
// shard took no other takes.  The shell's is safe to be used by many threads.
class EarlyStore {
 public:
  explicit EarlyStore(Rng& rng, size_t cache_capacity = EarlyReplayCache::kCapacity);
  virtual ~EarlyStore() = default;
  // A new prekey; the newest two are kept.  Enables early data, also after the calendar had jumped.
  virtual PublicKey renew(Now);
  // Those that are usable, newest last.  None: no prekey yet, all expired, or the calendar jumped since.
  virtual std::vector<Prekey> prekeys(Now);
  virtual Drop add(Mono now, const PublicKey& ephemeral, const CallerKey& who, size_t share);
  virtual void expire(Now);            // erases old prekeys
  virtual Mono next_deadline() const;  // of expire()

 private:
  bool calendar_jumped(Now) const;
  Rng& rng_;
  std::deque<Prekey> ring_;  // newest last
  Duration wall_minus_mono_{};
  EarlyReplayCache cache_;
};

// The responder's side: opens what was sealed to a prekey, once.
class EarlyData {
 public:
  EarlyData(const ByteArray<8>& network, EarlyStore& store) : network_(network), store_(store) {}
  struct Request {
    const Secret<32>& c1;
    const crypto::Hash32& h1;
    PublicKey ephemeral;
    CallerKey who;
    size_t share;  // of the replay cache
  };
  Result<std::vector<uint8_t>, Drop> open(Now, const Request&, Bytes sealed);
  void expire(Mono now);       // erases prekeys that are kept ready
  Mono next_deadline() const;  // of expire()

 private:
  // A prekey of the store, made ready for exchanges: one thread's.
  struct Ready {
    PublicKey name;
    crypto::DhKey key;
    Mono expiry;
  };
  void refresh(const std::vector<Prekey>& ring);
  ByteArray<8> network_;
  EarlyStore& store_;
  std::vector<Ready> ready_;  // oldest first
};

// The initiator's side.
std::vector<uint8_t> seal_early_data(const Secret<32>& key, const crypto::Hash32& h1, Wall wall, Bytes plain);

}  // namespace macrovpn::encryption
