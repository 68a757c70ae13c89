// TAI64N (https://cr.yp.to/libtai/tai64.html): the timestamp in an initiation, which must grow per static
// key.
//
//   seconds + 2^62 + 10, big endian 8 | nanoseconds, big endian 4
#pragma once
#include "base/bytes.h"
#include "base/time.h"

namespace macrovpn::encryption {

using Tai64n = ByteArray<12>;

// The calendar, whitened to 2^24 ns as other implementations do: the exact time of sending is nobody's
// business. Always above `last`, even if the calendar went back.
Tai64n tai64n_of(Wall wall, const Tai64n& last);

// Overlay handshakes tell no time: a constant and a count (docs/protocol.md "WireGuard messages").
Tai64n tai64n_of_count(uint64_t count);

}  // namespace macrovpn::encryption
