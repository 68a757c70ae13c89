// Station: a shard's end of the Crossing, in the reactor that drives it.
#pragma once
#include "shell/driver/driver.h"
#include "shell/workers/crossing.h"

namespace macrovpn::shell {

class Station {
 public:
  // By the thread of the reactor, or before it runs.  All of them outlive the station.
  Station(ShardId shard, Crossing& crossing, Reactor& reactor, PacketPool& pool, Driver& driver);
  ~Station();
  Station(const Station&) = delete;
  Station& operator=(const Station&) = delete;

  uint64_t lost() const { return crossing_.lost(shard_); }  // messages that found no room

 private:
  static constexpr size_t kAtOnce = 256;  // messages of one turn; then the sockets have theirs
  static constexpr Duration kAgain = 1ms;  // until what was kept is tried again
  void on_bell();
  void send(std::span<node::ShardMessage> messages);

  ShardId shard_;
  Crossing& crossing_;
  Reactor& reactor_;
  PacketPool& pool_;
  Driver& driver_;
  std::vector<node::ShardMessage> got_;
  std::optional<Reactor::TimerId> again_;
};

}  // namespace macrovpn::shell
