// The workers of a device and their threads.
#include "shell/wireguard/device.h"

#include "shell/driver/steering.h"

namespace macrovpn::shell {

WireGuardDevice::WireGuardDevice(Reactor& reactor, std::vector<PacketDevice> queues, const DeviceLog& log)
    : reactor_(reactor), log_(log) {
  MV_ASSERT(!queues.empty() && queues.size() <= kMaxWorkers);
  if (queues.size() > 1) commons_ = std::make_unique<DeviceCommons>(queues.size());
  for (size_t i = 0; i < queues.size(); i++) {
    auto& post = *posts_.emplace_back(std::make_unique<Post>());
    if (i > 0) post.own = std::make_unique<Reactor>();
    post.reactor = i > 0 ? post.own.get() : &reactor;
    const routing::ShardPlace place{ShardId{static_cast<uint8_t>(i)}, queues.size()};
    post.worker = std::make_unique<DeviceWorker>(*post.reactor, place, std::move(queues[i]), commons_.get(), log_);
    if (i > 0) post.worker->take_packets(false);
  }
}

WireGuardDevice::~WireGuardDevice() {
  if (!parking_) return;
  {
    const auto standing = halt();
    for (const auto& post : posts_) {
      if (post->own) post->own->stop();
    }
  }
  for (const auto& post : posts_) {
    if (post->thread.joinable()) post->thread.join();
  }
  for (size_t i = 1; i < posts_.size(); i++) parking_->leave(i - 1, *posts_[i]->own);
}

void WireGuardDevice::start() {
  if (posts_.size() == 1) return;
  parking_ = std::make_unique<Parking>(posts_.size() - 1);
  for (size_t i = 1; i < posts_.size(); i++) {
    Post& post = *posts_[i];
    parking_->enter(i - 1, *post.own);
    post.thread = std::thread([&post] { post.own->run(); });
  }
}

// For as long as it lives the other workers stand, and what is theirs may be touched.
std::unique_ptr<Parking::Halt> WireGuardDevice::halt() const {
  return parking_ ? std::make_unique<Parking::Halt>(*parking_) : nullptr;
}

void WireGuardDevice::set_link(const Link& link) {
  const auto standing = halt();
  const Link before = std::exchange(link_, link);
  if (link.mtu != before.mtu) {
    for (const auto& post : posts_) post->worker->tunnels().set_mtu(link.mtu);
  }
  if (link.up == before.up) return;
  log_.verbose(link.up ? "the device is up" : "the device is down");
  if (!link.up) {
    close_sockets();
    pause_peers();
    return;
  }
  if (const uapi::Refusal r = open_sockets(port_); r.number != 0) log_.error(r.why);
  for (const auto& post : posts_) post->worker->tunnels().resume_configured(reactor_.now().mono);
}

void WireGuardDevice::check_invariants() const {
  const auto standing = halt();
  size_t peers = 0;
  for (const auto& post : posts_) {
    post->worker->tunnels().check_invariants();
    MV_ASSERT(post->worker->tunnels().peers().size() == post->peers);
    peers += post->peers;
  }
  MV_ASSERT(peers == peers_.size());
  MV_ASSERT(!commons_ || commons_->whereabouts.size() <= peers);
}

}  // namespace macrovpn::shell
