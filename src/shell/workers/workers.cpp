#include "shell/workers/workers.h"

namespace macrovpn::shell {

Workers::Workers(size_t shards) : crossing_(shards) {
  for (size_t i = 1; i < shards; i++) others_.push_back(std::make_unique<Worker>());
}

void Workers::share(node::NodeConfig& c, Rng& rng) {
  const LockedCommons::Limits limits{c.tunnels.ephemeral_peers, c.tunnels.half_open, c.legs.total,
                                     c.leases.leases,           c.leases.pending,    c.relay ? c.relay->cap : Bandwidth{}};
  commons_ = std::make_unique<LockedCommons>(limits, rng);
  c.commons = commons_->get();
}

node::NodeConfig Workers::config_of(const node::NodeConfig& config, size_t shard) const {
  node::NodeConfig out = config;
  out.place = place_of(shard);
  if (shard != 0) out.client.reset();
  return out;
}

void Workers::make_drivers(const node::NodeConfig& config) {
  for (size_t i = 0; i < others_.size(); i++) others_[i]->make_driver(config_of(config, i + 1), crossing_);
}

void Workers::join(Reactor& reactor, PacketPool& pool, Driver& driver) {
  own_ = std::make_unique<Station>(ShardId{0}, crossing_, reactor, pool, driver);
}

void Workers::start() {
  for (const auto& w : others_) w->start();
}

void Workers::stop() {
  for (const auto& w : others_) w->stop();
}

void Workers::ask_others(const std::function<void(Worker&)>& f) const {
  for (const auto& w : others_) w->ask([&] { f(*w); });
}

uint64_t Workers::lost() const {
  uint64_t sum = own_ ? own_->lost() : 0;
  ask_others([&](Worker& w) { sum += w.station().lost(); });
  return sum;
}

}  // namespace macrovpn::shell
