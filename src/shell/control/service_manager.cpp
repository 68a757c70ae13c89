#include "shell/control/service_manager.h"

#include <sys/socket.h>

#include <cstdlib>

#include "shell/control/socket_name.h"
#include "shell/fd.h"

namespace macrovpn::shell::control {

void tell_service_manager(std::string_view assignments) {
  const char* const name = std::getenv("NOTIFY_SOCKET");
  if (name == nullptr) return;
  const auto to = SocketName::of(name);
  const Fd s(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (to && s)
    static_cast<void>(
        sendto(s.get(), assignments.data(), assignments.size(), MSG_NOSIGNAL, to->address(), to->size));
}

}  // namespace macrovpn::shell::control
