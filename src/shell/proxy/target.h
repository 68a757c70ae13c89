// Target: where a program wants to go, as it said it to the proxy.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "model/ip.h"

namespace macrovpn::shell {

struct Target {
  std::optional<IpAddress> address;  // none: `name` is to be resolved
  std::string name;                  // a host name, checked for its form
  uint16_t port = 0;
  auto operator<=>(const Target&) const = default;
};

// From the text of a host: an address (an IPv6 one with or without brackets) is taken as one, however it was
// sent, so that nobody asks a name server for "192.0.2.1".  None: neither an address nor a name that DNS can
// hold.  Old spellings of IPv4 addresses ("127.1", "0x7f000001") are neither: a resolver might read them as
// addresses.
std::optional<Target> make_target(std::string_view host, uint16_t port);
// A mapped IPv4 address (::ffff:192.0.2.1) is that IPv4 address.
Target make_target(const IpAddress& address, uint16_t port);

// "80"; 1 to 65535.
std::optional<uint16_t> parse_port(std::string_view);

}  // namespace macrovpn::shell
