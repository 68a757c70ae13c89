// UdpSocket: one UDP port, IPv4 and IPv6, in batches.
//
// Datagrams of one size to one remote leave in one message that the kernel or the network card cuts (UDP_SEGMENT), and what
// comes in trains is read in one (UDP_GRO) and put where each will stand (offload/scatter.h).  Where the kernel or a device
// cannot, each goes alone.
//
// Nothing of an outer header is ours to choose per packet: TTL, TOS and flow label are the system's defaults
// on every link, so that nothing can be carried from one link of a circuit to the next.  Don't-fragment is
// set and the kernel's path MTU cache ignored (IP_PMTUDISC_PROBE): the circuit finds its own MTU.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/result.h"
#include "base/rng.h"
#include "core/node/effects.h"
#include "shell/fd.h"

namespace macrovpn::shell {

class UdpSocket {
 public:
  enum class Stack : uint8_t { both, v4_only };
  // Port 0: any.  The unspecified address of either family listens on both families where the system has
  // IPv6.  mark: for routing rules and the kill switch of `macrovpn up` (SO_MARK); 0: none.
  static Result<UdpSocket> open(const Endpoint& local, uint32_t mark = 0);

  // `count` of them on one address and port, one a worker; the kernel gives each what is its own (steering.h).  The port must be
  // free, as for one alone; once they are made, another program of the same user could bind it too.
  static Result<std::vector<UdpSocket>> open_group(const Endpoint& local, size_t count, Rng& rng, uint32_t mark = 0);

  // A second socket on this one's address and port that takes what `remote` sends (shield.h).
  Result<UdpSocket> connected_twin(const Endpoint& remote) const;

  int fd() const { return fd_.get(); }
  uint16_t port() const { return port_; }
  bool has_v6() const { return stack_ == Stack::both; }
  // Appends what one call to the kernel gives, at least kBatch datagrams if they are there; returns how many it read.
  // Longer ones than a Packet holds are dropped and counted.
  size_t receive(SocketId id, PacketPool& pool, std::vector<node::Datagram>& out);
  uint64_t dropped_as_too_long() const { return dropped_as_too_long_; }
  // Sends in order; what the kernel refuses (no route, full queue) is lost, as on any network.  Returns how
  // many left.
  size_t send(std::span<node::Datagram> batch);
  // Whether a datagram since the last call was too long for the link that it would have left by.
  bool take_too_long() { return std::exchange(too_long_, false); }
  struct Offloads {
    bool trains_out = false, trains_in = false;  // UDP_SEGMENT, UDP_GRO
  };
  Offloads offloads() const { return offloads_; }
  // From now on; 0: none.  Refused without rights over the network.
  bool set_mark(uint32_t mark);
  // From now on: for stock WireGuard peers, whose own datagrams may be, and which search for no MTU.
  void let_fragment();

  static constexpr size_t kBatch = 64;
  static constexpr unsigned kAloneAfterRefusal = 4096;  // calls of send(), after a train was refused

 private:
  Result<void> create();
  Result<UdpSocket> sibling() const;
  size_t send_some(std::span<node::Datagram> batch, size_t& tried);
  size_t send_apart(std::span<node::Datagram> train);
  Fd fd_;
  Stack stack_ = Stack::both;
  uint16_t port_ = 0;
  uint32_t mark_ = 0;
  bool grouped_ = false;  // others share the port for good
  bool too_long_ = false;
  uint64_t dropped_as_too_long_ = 0;
  Offloads offloads_;
  unsigned alone_for_ = 0;  // calls of send() until trains are tried again; 0: no such wait
  size_t train_ = 0;     // size of a datagram in the train that came last; 0: none is expected
  unsigned alone_ = 0;   // messages since it that were none
};

}  // namespace macrovpn::shell
