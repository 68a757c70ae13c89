// Workers: the shards of a relay.  Shard 0 is the thread that made this, with its own reactor and driver; the others have threads.
//
//   Workers w(3);                      reactors and pools; exits can be made in them
//   w.share(config, rng)               what all have in common goes into the config
//   w.config_of(config, shard)         for the driver of shard 0, and for each worker's make_driver()
//   w.join(reactor, pool, driver)      shard 0 takes part
//   w.start() ... w.stop()
#pragma once
#include "shell/workers/locked_commons.h"
#include "shell/workers/worker.h"

namespace macrovpn::shell {

class Workers {
 public:
  explicit Workers(size_t shards);
  ~Workers() { stop(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  size_t shards() const { return crossing_.shards(); }
  routing::ShardPlace place_of(size_t shard) const { return {ShardId{static_cast<uint8_t>(shard)}, shards()}; }
  std::span<const std::unique_ptr<Worker>> others() const { return others_; }  // shards 1 ...

  void share(node::NodeConfig& config, Rng& rng);
  node::NodeConfig config_of(const node::NodeConfig& config, size_t shard) const;
  void make_drivers(const node::NodeConfig& config);  // of the others
  void join(Reactor& reactor, PacketPool& pool, Driver& driver);
  void leave() { own_.reset(); }  // before that driver ends

  void start();
  void stop();  // waits for all threads
  // On each of the others' threads in turn, waiting for each.  By the thread of shard 0.
  void ask_others(const std::function<void(Worker&)>& f) const;
  Crossing& crossing() { return crossing_; }
  uint64_t lost() const;  // messages between shards that found no room

 private:
  Crossing crossing_;
  std::unique_ptr<LockedCommons> commons_;
  std::vector<std::unique_ptr<Worker>> others_;
  std::unique_ptr<Station> own_;
};

}  // namespace macrovpn::shell
