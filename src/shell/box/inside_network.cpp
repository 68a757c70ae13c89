#include "shell/box/inside_network.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shell/namespace.h"
#include "shell/tun.h"

namespace macrovpn::shell {
namespace {

constexpr const char* kDevice = "mv0";

LinkSetup inside_link(unsigned mtu, bool with_v6) {
  LinkSetup s{mtu, {{*IpAddress::parse("10.10.0.2"), 16}}, false};
  if (with_v6) s.addresses.push_back({*IpAddress::parse("fd86:ea04:1115::2"), 64});
  return s;
}

// "AnyIP": a whole range is local, without an address for each.
Result<void> make_sources_local(bool with_v6) {
  TRY_VOID(run_ip("route add local 10.10.128.0/17 dev lo\n"));
  if (!with_v6) return {};
  // For bind(2), unlike for packets, IPv6 does not count such a route.
  TRY_VOID(write_setting("/proc/sys/net/ipv6/ip_nonlocal_bind", "1"));
  return run_ip6("route add local fd86:ea04:1115::1:0/112 dev lo\n");
}

}  // namespace

Result<PacketDevice> make_inside_network(const InsideNetwork& o) {
  TRY(PacketDevice device, PacketDevice::create(kDevice, o.device));
  // Absent on a kernel without IPv6; a host that has it switched off need not have it off in here.
  const bool v6 = write_setting("/proc/sys/net/ipv6/conf/mv0/disable_ipv6", "0").ok();
  std::string routes = "route add 0.0.0.0/0 dev mv0\n";
  if (v6) routes += "route add ::/0 dev mv0\n";
  TRY_VOID(configure_link(kDevice, inside_link(o.mtu, v6), routes));
  if (o.sources == Sources::groups) TRY_VOID(make_sources_local(v6));
  return device;
}

bool drop_capabilities() {
  for (unsigned c = 0; prctl(PR_CAPBSET_READ, c) >= 0; c++) {
    if (prctl(PR_CAPBSET_DROP, c) != 0) return false;
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2]{};
  return syscall(SYS_capset, &header, none) == 0;
}

}  // namespace macrovpn::shell
