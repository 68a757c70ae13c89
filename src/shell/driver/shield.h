// Shield: sockets of their own for callers with sessions, while a flood of handshakes fills the listening socket.
//
// A flood's datagrams and those of honest callers share the listening socket's queue, and when it is full the kernel drops
// both alike, whatever the node then does with them.  A socket on the same port that is connected to one caller has a
// queue of its own, and the kernel prefers it (Linux looks for the most specific socket), so what such a caller sends is
// lost only if it is too much itself.  Needs no privilege.
//
//   the port     bound once more with SO_REUSEPORT, which the listening socket has only for that moment: another program of
//                this user can never bind it
//   how many     kMost, those that carried most
#pragma once
#include <functional>
#include <map>

#include "shell/driver/udp_socket.h"
#include "shell/reactor.h"

namespace macrovpn::shell {

class Shield {
 public:
  static constexpr size_t kMost = 64;
  using OnReadable = std::function<void(UdpSocket&)>;
  // The reactor outlives this.
  Shield(Reactor& reactor, OnReadable on_readable) : reactor_(reactor), on_readable_(std::move(on_readable)) {}
  ~Shield();
  Shield(const Shield&) = delete;
  Shield& operator=(const Shield&) = delete;

  // From now on these and only these have sockets of their own.  Those that cannot be had are left out.
  void protect(const UdpSocket& listening, std::span<const Endpoint> callers);
  size_t size() const { return sockets_.size(); }

 private:
  Reactor& reactor_;
  OnReadable on_readable_;
  std::map<Endpoint, UdpSocket> sockets_;
};

}  // namespace macrovpn::shell
