// What `macrovpn up` calls its things in the kernel, so that they can be found again without any memory; and the system's own
// files that it writes.
#pragma once
#include <cstdint>

namespace macrovpn::shell::system {

inline constexpr const char* kDevice = "macrovpn0";
inline constexpr const char* kTable = "macrovpn";  // of nft, families inet and arp
inline constexpr uint32_t kMark = 0x6d76706e;      // on our daemon's sockets: "mvpn"
inline constexpr unsigned kRouteTable = 27766;
inline constexpr const char* kResolvConf = "/etc/resolv.conf";
inline constexpr const char* kSystemdFolder = "/etc/systemd/system";
inline constexpr const char* kDoor =
    "macrovpn-system";  // where programs of every user attach (control/server.h)
// Before everything that others have but the local table (0).
inline constexpr unsigned kAnswersRule = 100, kEverythingRule = 101, kNothingElseRule = 102;

}  // namespace macrovpn::shell::system
