#include "sim/load/workload.h"

namespace macrovpn::sim {

void LoadReport::add(const LoadReport& o) {
  bytes_down += o.bytes_down;
  bytes_up += o.bytes_up;
  wrong_bytes += o.wrong_bytes;
  done += o.done;
  failed += o.failed;
  latency.add(o.latency);
  first_byte.add(o.first_byte);
  stalls += o.stalls;
  longest_stall = std::max(longest_stall, o.longest_stall);
  packets_sent += o.packets_sent;
  packets_received += o.packets_received;
  packets_late += o.packets_late;
  packets_twice += o.packets_twice;
}

}  // namespace macrovpn::sim
