// What a service manager wants to know of its services: sd_notify(3), which is one datagram to a Unix socket.
#pragma once
#include <string_view>

namespace macrovpn::shell::control {

// To the socket that NOTIFY_SOCKET names, a path or "@NAME"; without one nobody wants to know.  Not told: nothing is lost
// but the manager's patience.
void tell_service_manager(std::string_view assignments);

}  // namespace macrovpn::shell::control
