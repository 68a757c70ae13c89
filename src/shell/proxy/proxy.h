// Proxy: SOCKS5 and HTTP on loopback ports, for programs of one user, into a private network with a tunnel.
//
// Both protocols are spoken on every port (client_connection.h).  Before any byte of a connection is read,
// the kernel is asked whose it is; another user's is reset and counted.  Nothing that is said in is written
// anywhere.
//
// Where sockets live: a socket stays in the network namespace that it was made in.  Listeners, the netlink
// socket that asks for owners, and a helper process (HostHelper) are made first, in the programs' network;
// then the process moves into its private network, so that whatever it opens later has one way out, the
// tunnel.
#pragma once
#include <map>

#include "shell/acceptor.h"
#include "shell/proxy/client_connection.h"

namespace macrovpn::shell {

// "127.0.0.1:1080" or "[::1]:1080"; port 0: the kernel chooses.
std::optional<Endpoint> parse_listen_address(std::string_view);
// Listens on a loopback address; another is refused with a sentence, as is a port in use.
Result<Fd> listen_on_loopback(const Endpoint&);

class Proxy {
 public:
  Proxy(ProxyContext& context, std::vector<Fd> listeners);
  ~Proxy();
  size_t connections() const { return connections_.size(); }

 private:
  using Connections = std::map<uint64_t, std::unique_ptr<ClientConnection>>;
  void admit(Fd socket);
  bool is_ours(int socket);
  bool make_room();
  void sweep();

  ProxyContext& context_;
  std::vector<Fd> listeners_;
  Acceptor acceptor_;
  Connections connections_;
  uint64_t next_id_ = 1;
  std::optional<Reactor::TimerId> sweep_;
};

}  // namespace macrovpn::shell
