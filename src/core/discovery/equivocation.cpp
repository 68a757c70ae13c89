#include "core/discovery/equivocation.h"

namespace macrovpn::discovery {
namespace {

// The second in which both bodies were signed for.
std::optional<Wall> common_second(const SignedDescriptor& a, const SignedDescriptor& b) {
  for (const Wall t : {a.body_signed_at, a.relay.signed_at}) {
    if (t == b.body_signed_at || t == b.relay.signed_at) return t;
  }
  return std::nullopt;
}

}  // namespace

bool contradict(const SignedDescriptor& a, const SignedDescriptor& b) {
  return a.relay.identity == b.relay.identity && a.body_hash != b.body_hash && common_second(a, b);
}

Conviction convict(const SignedDescriptor& a, const SignedDescriptor& b) {
  MV_ASSERT(contradict(a, b));
  const bool in_order = a.body_hash < b.body_hash;
  return {a.relay.id, *common_second(a, b) + kConvictionLife, (in_order ? a : b).bytes, (in_order ? b : a).bytes};
}

Result<Conviction> check_conviction(Bytes first, Bytes second, const NetworkId& network) {
  TRY(const SignedDescriptor a, open_descriptor(first, network));
  TRY(const SignedDescriptor b, open_descriptor(second, network));
  if (!contradict(a, b)) return fail("the two descriptors do not contradict each other; they prove nothing");
  return convict(a, b);
}

}  // namespace macrovpn::discovery
