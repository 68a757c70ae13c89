// RecordHolder: the records that a relay keeps for others (core/discovery/dht_store.h), and who may ask how often.
//
// PUT and GET come as control frames in sessions of callers, so from nobody whose address was not proved, and what goes back goes up the same
// session.  A PUT costs a signature to verify and a look at who is closest, a GET nearly nothing but is answered by up to 1 KB: so each has a rate
// for a caller (clients of one relay before us count as one) and one for all.  Beyond it there is no answer.  FOUND counts against what the
// operator lends; STORED is as small as the frames that are never dropped.
#pragma once
#include "core/discovery/dht_store.h"
#include "core/encryption/rate_limit.h"
#include "core/node/directory_side.h"
#include "core/node/shared.h"

namespace macrovpn::node {

class RecordHolder {
 public:
  static constexpr encryption::Rate kPutsOfCaller{4, 96}, kPutsInAll{64, 512};
  static constexpr encryption::Rate kGetsOfCaller{16, 256}, kGetsInAll{512, 2048};

  RecordHolder(Shared s, DirectorySide& directory) : s_(s), directory_(directory), store_(s.config.network, s.self) {}

  // A frame DHT_PUT or DHT_GET of a caller's, perhaps at another shard.
  void on_request(Now now, PeerRef caller, const CallerKey& budget, routing::FrameType, Bytes body, Effects& fx);
  // Our own question, as one of the holders: the answer's body.
  std::optional<std::vector<uint8_t>> ask_self(Now now, discovery::DhtKind put_or_get, Bytes body);
  void sweep(Wall now) { store_.expire(now); }

  size_t size() const { return store_.size(); }
  const discovery::DhtStoreCounts& counts() const { return store_.counts(); }
  uint64_t refused() const { return refused_; }  // for their rate
  void check_invariants() const { store_.check_invariants(); }

 private:
  bool may_ask(Mono now, const CallerKey&, discovery::DhtKind);
  void answer(Now now, PeerRef caller, discovery::DhtKind, Bytes body, Effects& fx);

  Shared s_;
  DirectorySide& directory_;
  discovery::DhtStore store_;
  encryption::RateLimit putters_{4096}, getters_{4096};
  encryption::TokenBucket puts_, gets_;
  uint64_t refused_ = 0;
};

}  // namespace macrovpn::node
