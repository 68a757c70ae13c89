#include "shell/proxy/outbound.h"

#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

const std::vector<IpPrefix>& inside_or_no_host() {
  static const std::vector<IpPrefix> prefixes = [] {
    std::vector<IpPrefix> out;
    for (const char* p :
         {"0.0.0.0/8", "127.0.0.0/8", "10.10.0.2/32", "10.10.128.0/17", "224.0.0.0/4", "255.255.255.255/32",
          "::/127", "fe80::/10", "ff00::/8", "fd86:ea04:1115::2/128", "fd86:ea04:1115::1:0/112"})
      out.push_back(*IpPrefix::parse(p));
    return out;
  }();
  return prefixes;
}

}  // namespace

bool is_inside_or_no_host(const IpAddress& a) {
  for (const IpPrefix& p : inside_or_no_host())
    if (p.contains(a)) return true;
  return false;
}

Fd open_outbound(const Outbound& outbound, GroupSlot slot, IpFamily family, int type) {
  const IpAddress source = outbound.sources(slot).of(family);
  Fd fd = open_socket(family_of(source), type);
  // A connected socket needs its port alone only towards its target: without this a group had 28,000 in all.
  if (fd && type == SOCK_STREAM) set_option(fd.get(), SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  const SocketAddress at({source, 0});
  if (fd && bind(fd.get(), at.data(), at.size) != 0) fd.reset();
  return fd;
}

}  // namespace macrovpn::shell
