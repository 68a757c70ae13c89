// DeviceWorker: what one thread does for a WireGuard device: a queue of the packet device, a socket of its UDP port, and the
// sessions with the peers that are its own.  A device with one worker has no threads, rings or shared port.
//
//   from its queue     a packet for a peer of its own is sealed and sent; for another's peer it is copied to that worker
//   from its socket    the kernel gives it what is for its sessions (driver/steering.h), and worker 0 every initiation: that one
//                      admits it (rate, cookies) for all, reads whose it is, and copies it to the owner
//   from others        before each batch of its own queue, so that packets of a flow that moved here do not overtake those before
//
// A wake-up reads all that is ready in batches, seals or opens it at once, and sends and writes once at its end.
#pragma once
#include <array>
#include <functional>
#include <map>
#include <optional>

#include "core/encryption/loop_guard.h"
#include "core/encryption/tunnels.h"
#include "core/routing/lease_table.h"
#include "shell/clock.h"
#include "shell/driver/udp_socket.h"
#include "shell/packet_device.h"
#include "shell/reactor.h"
#include "shell/wireguard/log.h"
#include "shell/wireguard/whereabouts.h"
#include "shell/workers/crossing.h"

namespace macrovpn::shell {

// All that a device's workers have in common; outlives them.
struct DeviceCommons {
  explicit DeviceCommons(size_t workers) : crossing(workers) {}
  Crossing crossing;
  Whereabouts whereabouts;
};

struct DeviceCounts {
  std::array<uint64_t, 5> received{}, sent{};  // by message type; 0: what is no message
  uint64_t from_device = 0, no_peer = 0, not_sent = 0, looped = 0, too_long = 0, received_too_long = 0;
  uint64_t to_device = 0, not_written = 0, first_sessions = 0, renewals = 0, gave_up = 0;
  uint64_t crossed = 0, strays = 0;  // packets of the device, and datagrams, that were copied to another worker
};

class DeviceWorker {
 public:
  // commons: none where there is one worker.  Reactor, commons and log outlive it.
  DeviceWorker(Reactor&, routing::ShardPlace, PacketDevice queue, DeviceCommons* commons, const DeviceLog&);
  ~DeviceWorker();
  DeviceWorker(const DeviceWorker&) = delete;
  DeviceWorker& operator=(const DeviceWorker&) = delete;

  // ---- by whoever may touch it: its own thread, or another while it stands (shell/workers/parking.h)
  encryption::Tunnels& tunnels() { return tunnels_; }
  const encryption::Tunnels& tunnels() const { return tunnels_; }
  encryption::Out& out() { return out_; }  // is sent at the end of the wake-up
  const DeviceCounts& counts() const { return counts_; }
  uint64_t lost() const { return commons_ ? commons_->crossing.lost(place_.shard) : 0; }  // found no room on the way to others
  std::optional<Wall> last_handshake(PeerRef) const;
  void forget(PeerRef peer) { last_handshake_.erase(peer); }
  void tell_others(PeerRef);  // where a peer is now
  void set_socket(UdpSocket, uint16_t port);
  void close_socket();
  bool set_mark(uint32_t mark) { return !socket_ || socket_->set_mark(mark); }
  // Without peers it takes no packets: the kernel would give it some of each new flow, to be copied on.
  void take_packets(bool);
  bool takes_packets() const { return takes_packets_; }
  void on_gone(std::function<void()> f) { on_gone_ = std::move(f); }  // the packet device is no more

 private:
  enum class Handed : uint8_t { no, over };

  // device_worker.cpp
  void read_socket();
  void count_too_long(uint64_t dropped);
  void open_incoming(Handed);
  void on_handshake_message(node::Datagram&, Handed);
  void open_collected();
  void read_device();
  void seal_collected(Handed);
  void answer_too_long(Bytes packet);
  void queue(const Route&, Packet);
  void send_queued();
  void flush();
  void note(const encryption::Event&);

  // device_crossing.cpp
  bool is_anothers(const node::Datagram&) const;
  void hand_over(ShardId to, node::ShardNote::Kind, node::Datagram&);
  void take_handed_over();
  void send_to_others();

  Reactor& reactor_;
  const routing::ShardPlace place_;
  DeviceCommons* const commons_;
  const DeviceLog& log_;
  PacketPool pool_;
  OsRng rng_;
  encryption::Tunnels tunnels_;
  encryption::LoopGuard loops_;
  PacketDevice device_;
  bool takes_packets_ = true;
  std::optional<UdpSocket> socket_;
  std::map<PeerRef, Wall> last_handshake_;
  std::function<void()> on_gone_;

  // What a wake-up collects; kept so that nothing is allocated per packet.
  encryption::Out out_;
  std::vector<node::Datagram> incoming_, outgoing_;
  std::vector<encryption::OpenJob> opening_;
  std::vector<Packet> packets_, to_device_;
  std::vector<encryption::SealJob> sealing_;
  std::vector<node::ShardMessage> to_others_, from_others_;

  DeviceCounts counts_;
  uint64_t socket_too_long_ = 0;
};

}  // namespace macrovpn::shell
