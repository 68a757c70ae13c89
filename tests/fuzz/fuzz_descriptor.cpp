// A descriptor from anybody: verifying ends in a refusal or in a relay with 1 to 4 endpoints, never in a
// fault.  What was opened is opened again from the bytes that are kept; two of them convict or not.
#include "core/discovery/equivocation.h"
#include "core/discovery/relay_entry.h"

using namespace macrovpn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto relay =
      discovery::verify_descriptor(Bytes(data, size), NetworkId{}, wall_from_unix(1'790'000'000));
  if (relay.ok()) MV_ASSERT(!relay->endpoints.empty() && relay->endpoints.size() <= kMaxRelayEndpoints);
  const auto opened = discovery::open_descriptor(Bytes(data, size), NetworkId{});
  if (!opened.ok()) return 0;
  const auto again = discovery::open_descriptor(opened->bytes, NetworkId{});
  MV_ASSERT(again.ok() && again->details == opened->details && !discovery::contradict(*opened, *again));
  if (!opened->renewal().empty()) MV_ASSERT(discovery::with_renewal(*opened, opened->renewal()).ok());
  static_cast<void>(discovery::make_entry(*opened, Network{}));
  return 0;
}
