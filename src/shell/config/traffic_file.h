// The file of a relay's traffic counters (core/peers/traffic_ledger.h): five numbers, no address.
#pragma once
#include <string>

#include "base/result.h"
#include "core/peers/traffic_ledger.h"

namespace macrovpn::shell {

// No file: nothing was counted yet.  A damaged one is an error: reading it as zero would give a used-up amount back.
Result<peers::TrafficRecord> load_traffic(const std::string& path);
Result<void> store_traffic(const std::string& path, const peers::TrafficRecord&);

}  // namespace macrovpn::shell
