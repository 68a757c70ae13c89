#include "shell/system/routes.h"

#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/routing/address_rewrite.h"
#include "shell/namespace.h"
#include "shell/system/names.h"
#include "shell/tun.h"

namespace macrovpn::shell::system {
namespace {

constexpr int kMostTwins = 16;  // the same rule, entered again and again by somebody

bool kernel_has_v6() {
  std::error_code none;
  return std::filesystem::exists("/proc/sys/net/ipv6/conf", none);
}

std::vector<std::string> families() {
  return kernel_has_v6() ? std::vector<std::string>{"-4", "-6"} : std::vector<std::string>{"-4"};
}

std::vector<std::string> rule(const std::string& family, const char* verb, unsigned priority) {
  std::vector<std::string> words{"ip", family, "rule", verb, "priority", std::to_string(priority)};
  const auto add = [&](std::initializer_list<std::string> more) { words.insert(words.end(), more); };
  if (priority == kAnswersRule) {
    add({"iif", kDevice, "lookup", "main"});
    return words;
  }
  add({"not", "fwmark", std::to_string(kMark)});
  if (priority == kEverythingRule)
    add({"lookup", std::to_string(kRouteTable)});
  else
    add({"unreachable"});
  return words;
}

bool says(const Error& e, std::string_view what) {
  return e.message.find(what) != std::string::npos;
}

Result<void> make_persistent_tun() {
  TRY(const Fd tun, open_tun(kDevice));
  if (ioctl(tun.get(), TUNSETPERSIST, 1) != 0)
    return fail(std::string("cannot keep the TUN device: ") + std::strerror(errno));
  return {};
}

std::string address_lines() {
  const auto& inside = routing::InsideAddresses::get();
  std::string out;
  for (const IpAddress& a : {inside.client4, inside.client6}) {
    if (!a.is_v4() && !kernel_has_v6()) continue;
    out += "addr replace " + a.reveal() + "/" + std::to_string(a.bits()) + " dev " + kDevice;
    out += a.is_v4() ? "\n" : " nodad\n";
  }
  return out;
}

// What the device is for is in the routing table behind it too, so that nothing falls through to `main` if
// the device should vanish.
std::string route_lines(const IpAddress& source) {
  const std::string table = " table " + std::to_string(kRouteTable),
                    all = source.is_v4() ? "0.0.0.0/0" : "::/0";
  return "route replace unreachable " + all + " metric 4278198272" + table + "\nroute replace " + all +
         " dev " + kDevice + " src " + source.reveal() + " metric 1" + table + "\n";
}

}  // namespace

bool device_exists() {
  return if_nametoindex(kDevice) != 0;
}

Result<void> make_device(unsigned mtu) {
  if (!device_exists()) TRY_VOID(make_persistent_tun());
  const std::string v6 = std::string("/proc/sys/net/ipv6/conf/") + kDevice + "/";
  // Absent on a kernel without IPv6.
  for (const char* setting : {"disable_ipv6", "accept_ra", "autoconf", "router_solicitations"})
    static_cast<void>(write_setting(v6 + setting, "0").ok());
  const std::string link = std::string("link set dev ") + kDevice;
  TRY_VOID(run_ip(link + " addrgenmode none\n" + link + " mtu " + std::to_string(mtu) +
                  " txqueuelen 1000 up\n" + address_lines()));
  const auto& inside = routing::InsideAddresses::get();
  TRY_VOID(run_ip(route_lines(inside.client4)));
  if (kernel_has_v6()) TRY_VOID(run_ip6(route_lines(inside.client6)));
  return {};
}

Result<void> add_rules() {
  for (const std::string& family : families()) {
    for (const unsigned priority : {kAnswersRule, kEverythingRule, kNothingElseRule}) {
      const auto added = run_tool(rule(family, "add", priority), "");
      if (!added && !says(added.error(), "File exists")) return added.failure();
    }
  }
  return {};
}

Result<PacketDevice> open_device() {
  if (!device_exists()) return fail("the device of `macrovpn up` is not there; run `macrovpn up`");
  auto tun = open_tun(kDevice);
  if (!tun) return fail(tun.error().message + "; if another daemon serves it, stop that one first");
  return PacketDevice(std::move(tun).value(), {});
}

Result<bool> remove_rules() {
  bool found = false;
  for (const std::string& family : families()) {
    for (const unsigned priority : {kNothingElseRule, kEverythingRule, kAnswersRule}) {
      for (int i = 0; i < kMostTwins; i++) {
        const auto gone = run_tool(rule(family, "del", priority), "");
        if (!gone && says(gone.error(), "No such file")) break;
        if (!gone) return gone.failure();
        found = true;
      }
    }
    const auto routes = run_tool({"ip", family, "route", "flush", "table", std::to_string(kRouteTable)}, "");
    if (!routes && !says(routes.error(), "FIB table does not exist")) return routes.failure();
  }
  return found;
}

Result<bool> remove_device() {
  if (!device_exists()) return false;
  TRY_VOID(run_ip(std::string("link del dev ") + kDevice + "\n"));
  return true;
}

}  // namespace macrovpn::shell::system
