// The name of a Unix socket: a path, or "@NAME", an abstract one (unix(7)), which belongs to the network
// namespace and is no file.
#pragma once
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "base/result.h"

namespace macrovpn::shell::control {

struct SocketName {
  sockaddr_un value{};
  socklen_t size = sizeof value;
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&value); }

  static Result<SocketName> of(const std::string& name) {
    SocketName n;
    n.value.sun_family = AF_UNIX;
    if (name.size() >= sizeof n.value.sun_path)
      return fail("the name of the control socket is too long; choose a shorter folder");
    std::memcpy(n.value.sun_path, name.data(), name.size());
    if (name.starts_with('@')) {
      n.value.sun_path[0] = 0;
      n.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    }
    return n;
  }
};

}  // namespace macrovpn::shell::control
