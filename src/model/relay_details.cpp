#include "model/relay_details.h"

#include <algorithm>

namespace macrovpn {

bool ExitPorts::allows(uint16_t port) const {
  switch (kind) {
    case Kind::all_but_mail:
      return port != 0 && port != 25;
    case Kind::web:
      return port == 80 || port == 443;
    case Kind::listed:
      break;
  }
  return std::any_of(ranges.begin(), ranges.end(), [&](const PortRange& r) { return r.low <= port && port <= r.high; });
}

}  // namespace macrovpn
