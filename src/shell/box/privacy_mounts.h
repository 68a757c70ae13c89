// What a box sees of the file system where it would leak: names must be resolved through the tunnel, and
// nobody inside may talk to the daemon or to a resolver of the host.  Unix sockets cross network namespaces:
// with nscd running on the host, a lookup inside a box was answered by it with no packet through the tunnel
// (measured).
//
//   /etc/resolv.conf        the tunnel's DNS servers (where a symbolic link leads, there)
//   /etc/nsswitch.conf      hosts: files dns
//   hidden                  /run/nscd, /run/systemd/resolve, /run/avahi-daemon, /run/dbus, and what the
//   caller names
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace macrovpn::shell {

// Changes the mounts of the calling process, which must be in a mount namespace of its own.  Folders that do
// not exist need no hiding.
Result<void> mount_privately(const std::vector<std::string>& hidden_folders, std::string_view resolv_conf);

// The text with its "hosts" line replaced; added if there was none.
std::string with_plain_hosts_line(std::string_view nsswitch);

}  // namespace macrovpn::shell
