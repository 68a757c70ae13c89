// Endpoint <-> sockaddr.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>

#include "model/ip.h"
#include "shell/fd.h"

namespace macrovpn::shell {

class SocketAddress {
 public:
  SocketAddress() = default;
  explicit SocketAddress(const Endpoint&);
  sockaddr* data() { return reinterpret_cast<sockaddr*>(&storage_); }
  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size = sizeof(sockaddr_storage);  // in: room, out: what the kernel wrote
  std::optional<Endpoint> endpoint() const;

 private:
  sockaddr_storage storage_{};
};

inline int family_of(const IpAddress& a) {
  return a.is_v4() ? AF_INET : AF_INET6;
}

// Non-blocking, close-on-exec; an IPv6 one carries IPv6 alone, so that a mapped address leads nowhere.
Fd open_socket(int family, int type, int protocol = 0);
std::optional<Endpoint> peer_of(int socket);
std::optional<Endpoint> local_of(int socket);
int pending_error(int socket);                                // SO_ERROR
void close_with_reset(Fd& socket);                            // the TCP peer sees RST, not FIN
// For a connection to a site: nothing waits for more, and a site that has gone is noticed after 15 minutes.
void prepare_tcp(int socket);
void set_option(int socket, int level, int name, int value);  // where failure does not matter

}  // namespace macrovpn::shell
