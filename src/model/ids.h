// Numbers that name things inside one node.
#pragma once
#include <cstdint>

#include "base/strong.h"

namespace macrovpn {

// Which UDP socket of this node: 0 listens; 1 + n is the fixed port from which worker n calls others.
using SocketId = Strong<struct SocketIdTag, uint8_t>;
inline constexpr SocketId kListenSocket{0};
inline constexpr SocketId kEgressSocket{1};

// Which worker owns a session: the high kShardBits of its receiver index.
using ShardId = Strong<struct ShardIdTag, uint8_t>;
inline constexpr unsigned kShardBits = 4;

// The receiver index of a WireGuard session (sender index, seen from the other side).
using SessionIndex = Strong<struct SessionIndexTag, uint32_t>;

// A relation with one peer in encryption's table; 0 is nobody.  Never reused within a run.
using PeerRef = Strong<struct PeerRefTag, uint64_t>;

// The 24-bit number of a leg, drawn by the caller, that sits in the reserved bytes of relayed messages.
using LegNumber = Strong<struct LegNumberTag, uint32_t>;
inline constexpr uint32_t kMaxLegNumber = 0xffffff;

// A local packet interface: the TUN of one isolation group.
using TunId = Strong<struct TunIdTag, uint32_t>;
// A client's circuit.
using CircuitId = Strong<struct CircuitIdTag, uint64_t>;

// A header mask key in the node's table (core/node/masks.h).  0: plain, 1: this node's own.
using MaskId = Strong<struct MaskIdTag, uint32_t>;
inline constexpr MaskId kPlain{0};
inline constexpr MaskId kOwnMask{1};

}  // namespace macrovpn
