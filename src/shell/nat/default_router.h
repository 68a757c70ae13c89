// The home's router, and our address beside it: where the default route of IPv4 leads.
#pragma once
#include <optional>

#include "model/ip.h"

namespace macrovpn::shell {

struct DefaultRouter {
  IpAddress router, inside_address;
  auto operator<=>(const DefaultRouter&) const = default;
};
// Nothing: no default route, or one without a gateway.  Reads /proc/net/route; sends nothing.
std::optional<DefaultRouter> default_router();

// For the above and for tests: the gateway in the text of /proc/net/route with the lowest metric.
std::optional<IpAddress> gateway_in(const std::string& routes);

}  // namespace macrovpn::shell
