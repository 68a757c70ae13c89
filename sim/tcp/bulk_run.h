// One bulk transfer over a path, as it is held against a kernel's (kernel_test.cpp, tests/e2e/tcp_model_test.py): two computers of netlab,
// one of which has a wire: each way a rate with its queue and a delay, and losses on the way of the data.
#pragma once
#include "sim/tcp/path.h"

namespace macrovpn::sim {

struct BulkRun {
  CongestionControl control = CongestionControl::cubic;
  Bandwidth rate;
  Duration delay{0}, queue{0};  // one way; what the queue holds takes so long to send
  LossModel loss;
  Duration omitted{0}, measured{0};  // the start is not looked at
};

struct BulkFigures {
  uint64_t kilobits_per_second = 0;
  uint64_t segments = 0, again = 0, recoveries = 0, timeouts = 0, probes = 0;
};

BulkFigures run_bulk(const BulkRun& run, uint64_t seed);

}  // namespace macrovpn::sim
