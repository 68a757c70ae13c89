// Addresses, prefixes and endpoints as text: what parses is written and read again as the same.
#include "model/ip.h"
#include "model/special_purpose.h"

using namespace macrovpn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto a = IpAddress::parse(text)) {
    MV_ASSERT(IpAddress::parse(a->reveal()) == a);
    static_cast<void>(is_global_unicast(*a, {}));
  }
  if (const auto p = IpPrefix::parse(text)) {
    MV_ASSERT(p->length <= p->address.bits() && IpPrefix::parse(p->reveal()) == p && p->contains(p->address));
  }
  if (const auto e = Endpoint::parse(text)) MV_ASSERT(Endpoint::parse(e->reveal()) == e);
  return 0;
}
