// Crossing: what the shards of one node tell each other, through a ring for each ordered pair of them.
//
// A message is copied into the ring and out of it, packet and all, so that each shard's packets stay with its own pool and nothing
// is shared but the ring.  When a ring is full:
//   - packets are lost, as on any full link, and counted, already when it is three quarters full; strays, which anybody can send,
//     when it is half full;
//   - what must not be lost (core/node/shard_message.h) is kept by the sender, in order, and tried again; packets to that
//     shard are lost meanwhile, none to others.
#pragma once
#include <algorithm>
#include <array>
#include <deque>

#include "core/node/effects.h"
#include "shell/bell.h"
#include "shell/workers/ring.h"

namespace macrovpn::shell {

class Crossing {
 public:
  static constexpr size_t kRing = 1024 * 1024;  // bytes: what an exit reads at once, twice
  static constexpr size_t kMostKept = 16'384;  // messages to one shard; one that takes none of so many has stopped, and loses them

  explicit Crossing(size_t shards, size_t ring_bytes = kRing);
  size_t shards() const { return bells_.size(); }

  // ---- by the thread of shard `from`
  void send(ShardId from, std::span<const node::ShardMessage> messages);
  bool keeps(ShardId from) const {
    return std::any_of(side(from).kept.begin(), side(from).kept.end(), [](const auto& k) { return !k.empty(); });
  }  // call send() again, with nothing, a little later
  uint64_t lost(ShardId from) const { return side(from).lost; }

  // ---- by the thread of shard `to`, when its bell has rung.  Appends `most` messages at most; false: there may be more.
  bool receive(ShardId to, PacketPool& pool, std::vector<node::ShardMessage>& out, size_t most);
  Bell& bell(ShardId to) { return *bells_.at(to.value); }

 private:
  struct Side {
    std::array<std::deque<std::vector<uint8_t>>, kMaxShards> kept;  // records by shard, oldest first
    uint64_t lost = 0;
    size_t next = 0;  // whose ring is read first
  };
  Side& side(ShardId s) { return *sides_[s.value]; }
  const Side& side(ShardId s) const { return *sides_[s.value]; }
  Ring& ring(ShardId from, ShardId to) { return *rings_[from.value * shards() + to.value]; }
  void send_kept(ShardId from, uint32_t& rung);
  void keep_or_lose(Side& s, const node::ShardMessage& m);

  std::vector<std::unique_ptr<Ring>> rings_;  // by from and to; none from a shard to itself
  std::vector<std::unique_ptr<Side>> sides_;
  std::vector<std::unique_ptr<Bell>> bells_;
};

}  // namespace macrovpn::shell
