// WireGuardDevice: a plain WireGuard device as stock programs make it: Tunnels with configured peers between
// one packet device and one UDP port.  `wg` and `wg-quick` configure it through the protocol of uapi.h.
//
// A wake-up reads all that is ready in batches, seals or opens it at once, and sends and writes once at its
// end.  The UDP port is open while the link is up.  Nothing of a peer (key, address) is ever logged.
//
// Datagrams may be fragmented on their way (unlike a circuit's, shell/driver): stock devices do not look for
// a path's MTU, and whoever set theirs by hand relies on that.
#pragma once
#include <functional>
#include <map>
#include <optional>

#include "core/encryption/loop_guard.h"
#include "core/encryption/tunnels.h"
#include "shell/clock.h"
#include "shell/driver/udp_socket.h"
#include "shell/packet_device.h"
#include "shell/reactor.h"
#include "shell/wireguard/link_watch.h"
#include "shell/wireguard/log.h"
#include "shell/wireguard/uapi.h"

namespace macrovpn::shell {

class WireGuardDevice {
 public:
  // The reactor and the log outlive it.  The socket is opened in the network namespace of the caller,
  // wherever the packet device goes later.
  WireGuardDevice(Reactor& reactor, PacketDevice device, const DeviceLog& log);
  ~WireGuardDevice();
  WireGuardDevice(const WireGuardDevice&) = delete;
  WireGuardDevice& operator=(const WireGuardDevice&) = delete;

  // Takes changes until one cannot be made.
  uapi::Refusal apply(const std::vector<uapi::Change>&);
  uapi::DeviceState state() const;
  uapi::Counters counters() const;
  void check_invariants() const { tunnels_.check_invariants(); }

  void set_link(const Link&);
  // The packet device is no more.
  void on_gone(std::function<void()> f) { on_gone_ = std::move(f); }

 private:
  using ByType = std::array<uint64_t, 5>;  // by message type; 0: what is no message
  struct Selected {                        // the peer that a request speaks of
    PeerRef ref;                           // nobody: what is said of it is ignored
    bool made = false;
  };
  struct Applier;

  // device_settings.cpp
  uapi::Refusal set_listen_port(uint16_t port);
  uapi::Refusal open_socket(uint16_t port);
  void close_socket();
  uapi::Refusal set_fwmark(uint32_t mark);
  void remove_peer(PeerRef);
  uapi::PeerState state_of(PeerRef) const;

  // device.cpp
  void read_socket();
  void count_too_long(uint64_t dropped);
  void open_incoming();
  void on_handshake_message(const node::Datagram&);
  void open_collected();
  void read_device();
  void seal_collected();
  void answer_too_long(Bytes packet);
  void queue(const Route&, Packet);
  void send_queued();
  void flush();
  void note(const encryption::Event&);

  Reactor& reactor_;
  const DeviceLog& log_;
  PacketPool pool_;
  OsRng rng_;
  PrivateKey private_key_;
  encryption::Tunnels tunnels_;
  encryption::LoopGuard loops_{tunnels_};
  PacketDevice device_;
  std::optional<UdpSocket> socket_;
  uint16_t port_ = 0;
  uint32_t mark_ = 0;
  Link link_{.up = false, .mtu = kDefaultMtu};
  std::map<PeerRef, Wall> last_handshake_;
  std::function<void()> on_gone_;

  // What a wake-up collects; kept so that nothing is allocated per packet.
  encryption::Out out_;
  std::vector<node::Datagram> incoming_, outgoing_;
  std::vector<encryption::OpenJob> opening_;
  std::vector<Packet> packets_, to_device_;
  std::vector<encryption::SealJob> sealing_;

  ByType received_{}, sent_{};
  uint64_t from_device_ = 0, no_peer_ = 0, not_sent_ = 0, looped_ = 0, too_long_ = 0;
  uint64_t received_too_long_ = 0, socket_too_long_ = 0;
  uint64_t to_device_count_ = 0, not_written_ = 0, first_sessions_ = 0, renewals_ = 0, gave_up_ = 0;
};

}  // namespace macrovpn::shell
