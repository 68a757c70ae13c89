// Marks: by which a packet of a program is known again behind the exit, which changes addresses and checksums and nothing else.
#pragma once
#include <optional>

#include "base/bytes.h"

namespace macrovpn::sim {

// Destination, transport header and data.  Nothing for what has no whole transport header.
std::optional<uint64_t> mark_of(Bytes ip);
// Without the addresses: the same on both sides of an exit in both directions.
std::optional<uint64_t> ports_mark_of(Bytes ip);

}  // namespace macrovpn::sim
