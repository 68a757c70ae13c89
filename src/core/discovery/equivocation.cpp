#include "core/discovery/equivocation.h"

namespace macrovpn::discovery {
namespace {

std::vector<uint8_t> half_of(const SignedDescriptor& d) {
  const Bytes b = d.without_renewal();
  return {b.begin(), b.end()};
}

}  // namespace

bool contradict(const SignedDescriptor& a, const SignedDescriptor& b) {
  return a.relay.identity == b.relay.identity && a.body_signed_at == b.body_signed_at && a.body_hash != b.body_hash;
}

Conviction convict(const SignedDescriptor& a, const SignedDescriptor& b) {
  MV_ASSERT(contradict(a, b));
  const bool in_order = a.body_hash < b.body_hash;
  return {a.relay.id, a.body_signed_at + kConvictionLife, half_of(in_order ? a : b), half_of(in_order ? b : a)};
}

Result<Conviction> check_conviction(Bytes first, Bytes second, const NetworkId& network) {
  TRY(const SignedDescriptor a, open_descriptor(first, network));
  TRY(const SignedDescriptor b, open_descriptor(second, network));
  if (!contradict(a, b)) return fail("the two descriptors do not contradict each other; they prove nothing");
  return convict(a, b);
}

}  // namespace macrovpn::discovery
