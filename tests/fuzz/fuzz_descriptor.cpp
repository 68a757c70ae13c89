// A descriptor from anybody: verifying ends in a refusal or in a relay with 1 to 4 endpoints, never in a
// fault.
#include "core/discovery/descriptor.h"

using namespace macrovpn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto relay =
      discovery::verify_descriptor(Bytes(data, size), NetworkId{}, wall_from_unix(1'790'000'000));
  if (relay.ok()) MV_ASSERT(!relay->endpoints.empty() && relay->endpoints.size() <= kMaxRelayEndpoints);
  return 0;
}
