// A STUN message from anybody: reading ends in a refusal or in a message that lies within its bytes; what we write of it is read back.
#include "core/discovery/stun.h"

using namespace macrovpn;
namespace stun = macrovpn::discovery::stun;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  const auto exact = stun::read(input, stun::Extent::exact);
  const auto shorter = stun::read(input, stun::Extent::shorter);
  if (exact) MV_ASSERT(shorter && exact->size == size);
  if (!shorter) return 0;
  MV_ASSERT(shorter->size >= stun::kHeader && shorter->size <= size);
  if (shorter->vouch) MV_ASSERT(stun::signed_part(input, *shorter).size() + 16 == shorter->size);
  if (!shorter->mapped) return 0;
  const auto again = stun::read(stun::write_answer(shorter->id, *shorter->mapped), stun::Extent::exact);
  MV_ASSERT(again && again->mapped == shorter->mapped && again->id == shorter->id);
  return 0;
}
