// Equivocation: a relay that signs two bodies in the same second could show one half of the network another face than the
// other half.  Honest relays never do (next_signing_time()), so the two together convict it: anybody can check that, without
// believing who brought them.
//
// Blocks and renewals count alike: a renewal of one body and the block of another in the same second are two faces too.  Two renewals of
// one second over one body differ in their prekey only, which makes builds fail that meet the wrong one and links nobody; they
// convict nobody, since a relay that crashed and came back in the same second is honest.
//
// A conviction lasts 30 days from the signatures: a relay with the same key may not come back before.
#pragma once
#include "core/discovery/descriptor.h"

namespace macrovpn::discovery {

inline constexpr Duration kConvictionLife = std::chrono::hours(24 * 30);

// Whether the two convict their relay.  Both were opened for one network.
bool contradict(const SignedDescriptor&, const SignedDescriptor&);

struct Conviction {
  PeerId id;
  Wall until;
  // The two whole descriptors, the one with the lower body hash first.
  std::vector<uint8_t> first, second;
};
// Asserts that they contradict each other.
Conviction convict(const SignedDescriptor&, const SignedDescriptor&);
// For proofs from a file: opens both halves again.
Result<Conviction> check_conviction(Bytes first, Bytes second, const NetworkId&);

}  // namespace macrovpn::discovery
