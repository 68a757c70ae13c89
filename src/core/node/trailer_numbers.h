// TrailerNumbers: the numbers of trailers, sent and accepted, per neighbour relay (docs/protocol.md "Trailer"), for all shards of
// this relay together: a number that one shard took is a replay to all others, and no two shards send the same.
//
// Nothing is ever forgotten of a neighbour that is listed.  The shell's is safe to be used by many threads.
#pragma once
#include <functional>
#include <map>
#include <optional>

#include "base/time.h"
#include "core/encryption/replay_window.h"
#include "model/keys.h"

namespace macrovpn::node {

class TrailerNumbers {
 public:
  static constexpr size_t kMaxNeighbours = 65'536;  // more than a directory holds
  virtual ~TrailerNumbers() = default;
  // The number for the next trailer to the relay with this WireGuard key.  It starts at the calendar (milliseconds << 22), so that
  // it is higher than all before a restart.
  virtual uint64_t next(const PublicKey& to, Wall now);
  // Whether a number of a trailer that verified is new; marks it seen.
  virtual bool accept(const PublicKey& from, uint64_t number, Wall now);
  // Drops what `keep` does not want and nothing used since the last sweep.
  virtual void sweep(const std::function<bool(const PublicKey&)>& keep);
  virtual size_t size() const { return of_.size(); }

 private:
  struct Neighbour {
    uint64_t last = 0;                               // of ours to it; 0: none yet
    std::optional<encryption::ReplayWindow> seen{};  // of its
    bool used = true;                                // since the last sweep
  };
  Neighbour* find(const PublicKey&);
  std::map<PublicKey, Neighbour> of_;
};

}  // namespace macrovpn::node
