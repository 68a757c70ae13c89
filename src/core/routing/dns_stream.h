// DNS over TCP: each message stands behind its length (RFC 1035 §4.2.2, RFC 7766 §8).
//
//   length 2, BE ‖ message
#pragma once
#include <optional>
#include <vector>

#include "base/bytes.h"

namespace macrovpn::routing {

inline constexpr size_t kDnsLargestFramed = 2 + 65535;

// `message` has at most 65535 bytes.
std::vector<uint8_t> frame_dns(Bytes message);
// The first message of what came so far, if it is whole.  It took 2 bytes more than it has.
std::optional<Bytes> first_framed_dns(Bytes stream);

}  // namespace macrovpn::routing
