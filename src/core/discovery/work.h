// Proof of work: what an identity costs its owner, once in 30 days, and by which relays that want the same place in the
// directory are ordered (membership.h).
//
//   hash = Argon2id(password "macrovpn work 1" | network id 8 | identity 32 | epoch 2 | nonce 8,
//                   salt first 16 bytes of BLAKE2b-256("macrovpn work salt 1" | network id 8), 1 pass, 16 MiB, 1 lane)
//   rank = first 8 bytes of hash, big-endian; its highest pow_bits bits (network file) are zero
//
// The epoch counts 30 days since 1970.  A proof is good for signatures from 3 days before its epoch until 3 days after
// it, by the time that was signed and not by the reader's clock: so two relays never disagree.  The rank stands in the
// descriptor, so that a directory can be ordered before 19 ms are spent on each relay; whoever hands a new descriptor
// on checks it first, and clients check a relay before they first use it.
//
// Where the network file asks for no work (pow_bits 0: labs) the rank is a hash of the identity.
//
// A speed bump, not the bound: prefix quotas are (docs/decisions/0033).
#pragma once
#include "core/discovery/descriptor.h"

namespace macrovpn::discovery {

inline constexpr Duration kWorkEpoch = std::chrono::hours(24 * 30);
inline constexpr Duration kWorkOverlap = std::chrono::hours(24 * 3);

uint16_t work_epoch_of(Wall);  // clamped to what 16 bits hold

struct WorkTask {
  NetworkId network;
  IdentityKey identity;
  uint16_t epoch = 0;
  unsigned bits = 0;  // 0..40
};
// Tries so many nonces from `first` on, 19 ms each; nothing: none of them was good.
std::optional<WorkProof> search_work(const WorkTask&, uint64_t first, unsigned tries);

// The rank that a descriptor may claim: nothing where the proof is missing, of another epoch or too easy.  Cheap.
std::optional<uint64_t> claimed_rank(const SignedDescriptor&, const Network&);
// Whether the claim is true; 19 ms.  Only after claimed_rank() said something.  True where no work is asked for.
bool check_work(const SignedDescriptor&, const Network&);

}  // namespace macrovpn::discovery
