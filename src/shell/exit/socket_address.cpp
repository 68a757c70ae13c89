#include "shell/exit/socket_address.h"

#include <netinet/tcp.h>

#include <cstring>

namespace macrovpn::shell {

SocketAddress::SocketAddress(const Endpoint& e) {
  if (e.address.is_v4()) {
    auto* a = reinterpret_cast<sockaddr_in*>(&storage_);
    a->sin_family = AF_INET;
    a->sin_port = htons(e.port);
    std::memcpy(&a->sin_addr, e.address.bytes().data(), 4);
    size = sizeof *a;
  } else {
    auto* a = reinterpret_cast<sockaddr_in6*>(&storage_);
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(e.port);
    std::memcpy(&a->sin6_addr, e.address.bytes().data(), 16);
    size = sizeof *a;
  }
}

std::optional<Endpoint> SocketAddress::endpoint() const {
  if (storage_.ss_family == AF_INET) {
    const auto* a = reinterpret_cast<const sockaddr_in*>(&storage_);
    return Endpoint{IpAddress::v4(ntohl(a->sin_addr.s_addr)), ntohs(a->sin_port)};
  }
  if (storage_.ss_family != AF_INET6) return std::nullopt;
  const auto* a = reinterpret_cast<const sockaddr_in6*>(&storage_);
  ByteArray<16> b;
  std::memcpy(b.data(), &a->sin6_addr, 16);
  return Endpoint{IpAddress::v6(b), ntohs(a->sin6_port)};
}

Fd open_socket(int family, int type, int protocol) {
  Fd fd(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
  if (fd && family == AF_INET6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  return fd;
}

std::optional<Endpoint> peer_of(int socket) {
  SocketAddress a;
  return getpeername(socket, a.data(), &a.size) == 0 ? a.endpoint() : std::nullopt;
}

std::optional<Endpoint> local_of(int socket) {
  SocketAddress a;
  return getsockname(socket, a.data(), &a.size) == 0 ? a.endpoint() : std::nullopt;
}

int pending_error(int socket) {
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

void close_with_reset(Fd& socket) {
  if (!socket) return;
  const linger now{1, 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  socket.reset();
}

void prepare_tcp(int socket) {
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, 600);
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, 60);
  set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, 5);
}

void set_option(int socket, int level, int name, int value) {
  setsockopt(socket, level, name, &value, sizeof value);
}

}  // namespace macrovpn::shell
