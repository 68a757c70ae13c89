#include "shell/exit/kernel_forwarding.h"

#include <net/if.h>

#include <filesystem>
#include <fstream>

#include "core/routing/address_rewrite.h"
#include "shell/namespace.h"
#include "shell/tun.h"

namespace macrovpn::shell {
namespace {

constexpr unsigned kMaxExits = 64;  // devices on one host: a relay has one for each worker

// Where clients' flows leave from.  Were a client's own source port kept, as masquerading does when it is free, a client
// could send from the port of a service of this host to somebody who uses that service, whose packets would then pass for
// answers and go to the client (port shadowing, CVE-2021-3773).  So these ports are apart from all that services and this
// host's own connections use (net.ipv4.ip_local_port_range ends at 60999 unless somebody changed it).
std::string client_ports() {
  return std::to_string(kFirstClientPort) + "-65535";
}

std::string device_name(unsigned i) {
  return "mvexit" + std::to_string(i);
}
std::string table_name(const std::string& device) {
  return "inet macrovpn_" + device;
}

// `add` first, as deleting what is not there would fail.
std::string deletion(const std::string& device) {
  return "add table " + table_name(device) + "\ndelete table " + table_name(device) + "\n";
}

// A table whose device is gone belonged to a run that died: a TUN lives only as long as its process.
Result<void> remove_stale_tables() {
  std::string rules;
  for (unsigned i = 0; i < kMaxExits; i++)
    if (if_nametoindex(device_name(i).c_str()) == 0) rules += deletion(device_name(i));
  return rules.empty() ? Result<void>() : run_nft(rules);
}

// Accepting here does not overrule another table's drop: a firewall of the host's own must let the device
// through.
std::string rules_for(const std::string& device) {
  const std::string in = "iifname \"" + device + "\" ", out = "oifname \"" + device + "\" ";
  return deletion(device) + "table " + table_name(device) +
         " {\n"
         "chain input { type filter hook input priority filter - 5;\n" +
         in +
         "drop\n}\n"
         "chain forward { type filter hook forward priority filter - 5;\n" +
         in + out + "drop\n" + in + "ct state invalid drop\n" + out +
         "ct state { established, related } accept\n" + out +
         "drop\n}\n"
         "chain postrouting { type nat hook postrouting priority srcnat;\n" +
         in + "meta l4proto { tcp, udp } masquerade to :" + client_ports() + "\n" + in + "masquerade\n}\n}\n";
}

std::string first_word(const std::string& path) {
  std::ifstream in(path);
  std::string word;
  in >> word;
  return word;
}

}  // namespace

Result<void> KernelForwarding::change(const std::string& path, const std::string& value) {
  const std::string before = first_word(path);
  if (before == value) return {};
  TRY_VOID(write_setting(path, value));
  changed_.push_back({path, before});
  return {};
}

Result<void> KernelForwarding::switch_forwarding_on() {
  TRY_VOID(change("/proc/sys/net/ipv4/ip_forward", "1"));
  std::error_code none;
  // A host that forwards IPv6 stops listening to router advertisements, unless told that it should all the
  // same (2): it would lose its own default route.
  for (const auto& i : std::filesystem::directory_iterator("/proc/sys/net/ipv6/conf", none)) {
    const std::string path = i.path().string() + "/accept_ra";
    if (first_word(path) == "1") TRY_VOID(change(path, "2"));
  }
  if (none) return {};  // a kernel without IPv6
  return change("/proc/sys/net/ipv6/conf/all/forwarding", "1");
}

Result<KernelForwarding> KernelForwarding::set_up(uint16_t mtu, const routing::ShardPlace& place) {
  TRY_VOID(remove_stale_tables());
  KernelForwarding f;
  for (unsigned i = 0; i < kMaxExits && !f.device_; i++) {
    f.name_ = device_name(i);
    if (if_nametoindex(f.name_.c_str()) != 0) continue;
    TRY(f.device_, PacketDevice::create(f.name_));
  }
  if (!f.device_) return fail("there are too many exits on this host: stop one of them");
  // Addresses of its own only so that the kernel's ICMP errors have a source.
  LinkSetup link{mtu, {{*IpAddress::parse("169.254.9.1"), 32}}};
  const bool v6 = mtu >= 1280 && std::filesystem::exists("/proc/sys/net/ipv6/conf");
  if (v6) link.addresses.push_back({*IpAddress::parse("fd86:ea04:1115:fffe::1"), 128});
  std::string routes =
      "route add " + routing::private_network(IpFamily::v4, place).reveal() + " dev " + f.name_ + "\n";
  if (v6) routes += "route add " + routing::private_network(IpFamily::v6, place).reveal() + " dev " + f.name_ + "\n";
  // The rules stand before the device is up.
  TRY_VOID(run_nft(rules_for(f.name_)));
  TRY_VOID(configure_link(f.name_, link, routes));
  TRY_VOID(f.switch_forwarding_on());
  return f;
}

KernelForwarding::~KernelForwarding() {
  if (!device_) return;
  // Nothing can be done about a failure here, and the next run repeats it.
  for (auto c = changed_.rbegin(); c != changed_.rend(); ++c)
    static_cast<void>(write_setting(c->path, c->before).ok());
  if (device_.kind() == PacketDevice::Kind::veth) static_cast<void>(run_ip("link del " + name_ + "\n").ok());
  static_cast<void>(run_nft(deletion(name_)).ok());
}

}  // namespace macrovpn::shell
