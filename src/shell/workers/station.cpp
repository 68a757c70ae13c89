#include "shell/workers/station.h"

namespace macrovpn::shell {

Station::Station(ShardId shard, Crossing& crossing, Reactor& reactor, PacketPool& pool, Driver& driver)
    : shard_(shard), crossing_(crossing), reactor_(reactor), pool_(pool), driver_(driver) {
  crossing_.bell(shard_).hang_in(reactor_, [this] { on_bell(); });
  driver_.set_shards([this](std::span<node::ShardMessage> messages) { send(messages); });
}

Station::~Station() {
  if (again_) reactor_.cancel(*again_);
  crossing_.bell(shard_).take_from(reactor_);
  driver_.set_shards({});
}

void Station::on_bell() {
  got_.clear();
  const bool all = crossing_.receive(shard_, pool_, got_, kAtOnce);
  if (!all) crossing_.bell(shard_).ring();
  if (!got_.empty()) driver_.on_shard_messages(got_);
  got_.clear();
}

void Station::send(std::span<node::ShardMessage> messages) {
  crossing_.send(shard_, messages);
  if (!crossing_.keeps(shard_) || again_) return;
  again_ = reactor_.after(kAgain, [this] {
    again_.reset();
    send({});
  });
}

}  // namespace macrovpn::shell
