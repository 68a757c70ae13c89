// Numbers that name things inside one node.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/strong.h"

namespace macrovpn {

// Which UDP socket of this shard: 0 listens, on the port that all shards share; 1 is the fixed port of its own from which it
// calls others, so that their answers come home to it.
using SocketId = Strong<struct SocketIdTag, uint8_t>;
inline constexpr SocketId kListenSocket{0};
inline constexpr SocketId kEgressSocket{1};

// Which shard (worker) of a node owns a session: the highest kShardBits of its receiver index, of its PeerRef and of the id of
// a lease that it granted.
using ShardId = Strong<struct ShardIdTag, uint8_t>;
inline constexpr unsigned kShardBits = 4;
inline constexpr size_t kMaxShards = size_t{1} << kShardBits;

// The receiver index of a WireGuard session (sender index, seen from the other side).
using SessionIndex = Strong<struct SessionIndexTag, uint32_t>;
constexpr ShardId shard_of(SessionIndex i) { return {static_cast<uint8_t>(i.value >> (32 - kShardBits))}; }

// A relation with one peer in encryption's table; 0 is nobody.  Never reused within a run.
using PeerRef = Strong<struct PeerRefTag, uint64_t>;
constexpr ShardId shard_of(PeerRef p) { return {static_cast<uint8_t>(p.value >> (64 - kShardBits))}; }

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
