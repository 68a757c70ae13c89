// WgDevice: a plain WireGuard device made of the product's own core: Tunnels with configured peers, one UDP
// port, one TUN.  It is what the interop tests hold against stock implementations.
//
// What happens is told in JSON lines on standard output, for the tests alone: they run in private namespaces,
// so addresses may stand there.
//   {"event":"ready","public_key":…,"port":…}
//   {"event":"session","first":…,…}     keys agreed; first: not a rekey
//   {"event":"failed",…}                no answer for 90 s
//   {"event":"roam","endpoint":…,…}     the peer now speaks from there
//   {"event":"stats",…}                 the answer to print_stats()
// Each has "at", unix time; those of a peer have "peer", its public key.
#pragma once
#include <map>

#include "core/encryption/tunnels.h"
#include "node_options.h"
#include "shell/clock.h"
#include "shell/driver/udp_socket.h"
#include "shell/packet_device.h"
#include "shell/reactor.h"

namespace macrovpn::interop {

class WgDevice {
 public:
  // The reactor outlives it.  The device must run in its final network namespace.
  static Result<std::unique_ptr<WgDevice>> open(shell::Reactor& reactor, const NodeOptions& options);
  ~WgDevice();
  WgDevice(const WgDevice&) = delete;
  WgDevice& operator=(const WgDevice&) = delete;

  void print_stats() const;

 private:
  using ByType = std::array<uint64_t, 5>;  // indexed by the message type; 0 is what is no message

  WgDevice(shell::Reactor& reactor, const NodeOptions& options, shell::UdpSocket socket,
           shell::PacketDevice tun);
  Result<void> add_peers(const std::vector<encryption::ConfiguredPeer>& peers);
  void read_socket();
  void read_tun();
  void on_handshake_message(const Endpoint& from, Bytes message);
  void open_collected();
  void queue(const Route& route, Packet packet);
  void flush();
  void tell(const encryption::Event& event) const;
  void tell_roaming();

  shell::Reactor& reactor_;
  PacketPool pool_;
  shell::OsRng rng_;
  encryption::Tunnels tunnels_;
  shell::UdpSocket socket_;
  shell::PacketDevice tun_;
  encryption::Out out_;
  std::map<PeerRef, Endpoint> known_;  // where each peer was last told to be

  std::vector<node::Datagram> incoming_, outgoing_;
  std::vector<encryption::OpenJob> opening_;
  std::vector<Packet> packets_;
  std::vector<encryption::SealJob> sealing_;

  ByType received_{}, sent_{};
  uint64_t from_tun_ = 0, to_tun_ = 0, no_peer_ = 0, not_sent_ = 0;
};

}  // namespace macrovpn::interop
