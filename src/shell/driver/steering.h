// Steering: which of the sockets that share one port gets a datagram, so that each worker gets its own.
//
//   plain 02, 03, 04 …   the worker in the highest bits of the receiver index (model/ids.h), which is its owner
//   plain 01 …           worker 0: it has the configured peers
//   all else (masked)    by source address and port, so that all of one neighbour comes to one worker, in order
//
// A classic BPF program that the kernel runs for each datagram or train; it needs no privilege.  The hash is our own, since the
// kernel's counts all sockets of the port, on some kernels also those that shield.h adds for a while, and would move everybody with
// each.
// Its key is random, so that nobody outside knows how to aim at one worker.
#pragma once
#include "base/result.h"
#include "base/rng.h"

namespace macrovpn::shell {

inline constexpr size_t kMaxWorkers = 16;  // 1 << kShardBits

// For the sockets of fd's port, in the order in which they were bound; 2 <= workers <= kMaxWorkers.
Result<void> steer(int fd, size_t workers, Rng& rng);

}  // namespace macrovpn::shell
