#include "core/encryption/drop.h"

#include <array>
#include <cstddef>

namespace macrovpn::encryption {

const char* name_of(Drop d) {
  constexpr std::array kNames = {
      "none", "staged", "malformed", "bad_mac1", "cookie_required",
      "no_cookie_left", "rate_limited", "bad_handshake", "low_order_point", "replayed_timestamp",
      "unknown_index", "bad_tag", "replayed_counter", "expired", "not_allowed_ip",
      "no_session", "no_route", "queue_full", "table_full", "unknown_peer",
      "early_disabled", "early_bad", "early_slot", "early_replayed", "early_full",
      "too_large",
  };
  static_assert(kNames.size() == static_cast<std::size_t>(Drop::count_));
  return d < Drop::count_ ? kNames[static_cast<std::size_t>(d)] : "unknown";
}

}  // namespace macrovpn::encryption
