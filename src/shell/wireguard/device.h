// WireGuardDevice: a plain WireGuard device as stock programs make it: Tunnels with configured peers between
// one packet device and one UDP port.  `wg` and `wg-quick` configure it through the protocol of uapi.h.
//
// It has a worker (device_worker.h) for each queue of the packet device.  Worker 0 is the thread that made this; the others have
// threads from start() on.  A peer is one worker's: the one that has the fewest when it is added.  Each worker knows all allowed
// IPs, which are changed in all of them while all stand (shell/workers/parking.h), so that no packet is judged by half a change.
//
// The UDP port is open while the link is up.  Nothing of a peer (key, address) is ever logged.
//
// Datagrams may be fragmented on their way (unlike a circuit's, shell/driver): stock devices do not look for
// a path's MTU, and whoever set theirs by hand relies on that.
#pragma once
#include <memory>
#include <thread>

#include "shell/wireguard/device_worker.h"
#include "shell/wireguard/link_watch.h"
#include "shell/wireguard/uapi.h"
#include "shell/workers/parking.h"

namespace macrovpn::shell {

class WireGuardDevice {
 public:
  static constexpr size_t kMostPeers = 4'096;
  // One worker for each queue, at most kMaxWorkers.  The reactor and the log outlive it.  The sockets are opened in the network
  // namespace of the caller, wherever the packet device goes later.
  WireGuardDevice(Reactor& reactor, std::vector<PacketDevice> queues, const DeviceLog& log);
  ~WireGuardDevice();
  WireGuardDevice(const WireGuardDevice&) = delete;
  WireGuardDevice& operator=(const WireGuardDevice&) = delete;

  // The other workers run.  Without it somebody else has to drive their reactors, on the same thread.
  void start();
  size_t workers() const { return posts_.size(); }
  Reactor& reactor_of(size_t worker) { return *posts_[worker]->reactor; }

  // ---- all that follows is for worker 0's thread
  // Takes changes until one cannot be made.
  uapi::Refusal apply(const std::vector<uapi::Change>&);
  uapi::DeviceState state() const;
  uapi::Counters counters() const;
  void check_invariants() const;

  void set_link(const Link&);
  // The packet device is no more.
  void on_gone(std::function<void()> f) { first().on_gone(std::move(f)); }

 private:
  struct Selected {  // the peer that a request speaks of
    PeerRef ref;     // nobody: what is said of it is ignored
    bool made = false;
  };
  struct Applier;
  struct Post {  // a worker's place: worker 0 works in the reactor of whoever made the device
    std::unique_ptr<Reactor> own;
    Reactor* reactor;
    std::unique_ptr<DeviceWorker> worker;
    size_t peers = 0;
    std::thread thread;
  };

  DeviceWorker& first() const { return *posts_[0]->worker; }
  DeviceWorker& worker_of(PeerRef ref) const { return *posts_[shard_of(ref).value]->worker; }
  std::unique_ptr<Parking::Halt> halt() const;

  // device_settings.cpp
  uapi::Refusal set_listen_port(uint16_t port);
  uapi::Refusal open_sockets(uint16_t port);
  void close_sockets();
  uapi::Refusal set_fwmark(uint32_t mark);
  std::optional<PeerRef> find(const PublicKey&) const;
  std::optional<PeerRef> add_peer(const PublicKey&);
  void remove_peer(PeerRef);
  void pause_peers();
  uapi::PeerState state_of(PeerRef) const;
  void add_counters_of_workers(uapi::Counters&) const;

  Reactor& reactor_;
  const DeviceLog& log_;
  OsRng rng_;
  std::unique_ptr<DeviceCommons> commons_;  // none: one worker
  std::unique_ptr<Parking> parking_;        // none: no threads
  std::vector<std::unique_ptr<Post>> posts_;

  PrivateKey private_key_;
  uint16_t port_ = 0;
  bool open_ = false;  // the port
  uint32_t mark_ = 0;
  Link link_{.up = false, .mtu = kDefaultMtu};
  std::vector<PeerRef> peers_;  // in the order in which they were added
};

}  // namespace macrovpn::shell
