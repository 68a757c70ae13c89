// What the shards of one node have in common when somebody calls: nothing of it is asked for a data packet.
//
// A node of one shard has all of it for itself.  With several, each may be called by another thread: the shell's own kinds of
// these (shell/workers/locked_commons.h) take care of that.
#pragma once
#include <map>

#include "core/encryption/early_data.h"
#include "core/encryption/seal_witness.h"
#include "crypto/aead.h"
#include "model/ids.h"

namespace macrovpn::encryption {

// Which shard has the relation with an ephemeral static key.  A caller that moved, or somebody who repeats his initiation, may
// come to another shard, which must not take him for a stranger: his legs and leases are where he was, and so is the timestamp by
// which a repetition is known.  As many as there are ephemeral peers.
class Callers {
 public:
  virtual ~Callers() = default;
  // The key's owner, which is `shard` from now on if it had none.
  virtual ShardId claim(const PublicKey& key, ShardId shard) { return of_.try_emplace(key, shard).first->second; }
  virtual void release(const PublicKey& key, ShardId shard) {
    if (const auto at = of_.find(key); at != of_.end() && at->second == shard) of_.erase(at);
  }
  virtual size_t size() const { return of_.size(); }

 private:
  std::map<PublicKey, ShardId> of_;
};

// None: a shard that is alone.  They outlive the Tunnels.
struct Common {
  Shares* strangers = nullptr;  // every ephemeral peer
  Shares* half_open = nullptr;  // of them, those whose session is not confirmed
  EarlyStore* early = nullptr;
  Callers* callers = nullptr;
  SealWitness* witness = nullptr;
  // For all nodes that one thread drives: it holds no key between two batches, and 200 KB of scratch.
  crypto::AeadBatch* aead = nullptr;
};

}  // namespace macrovpn::encryption
