#include "shell/exit/exit_backend.h"

namespace macrovpn::shell {

ExitLimits part_of(const ExitLimits& all, size_t shards) {
  ExitLimits out = all;
  for (size_t* n : {&out.tcp_flows, &out.udp_ports, &out.pings, &out.dns_connections, &out.pipes}) *n = std::max<size_t>(*n / shards, 1);
  return out;
}

void ExitCounters::add(const ExitCounters& o) {
  using C = ExitCounters;
  for (const auto part :
       {&C::packets_in, &C::packets_out, &C::malformed, &C::wrong_source, &C::device_full, &C::tcp_opened, &C::tcp_refused,
        &C::tcp_unreachable, &C::tcp_full, &C::tcp_broken, &C::udp_opened, &C::udp_full, &C::udp_unwanted, &C::udp_errors, &C::pings,
        &C::pings_full, &C::pings_impossible, &C::dns_full}) {
    this->*part += o.*part;
  }
  for (size_t i = 0; i < std::size(denied); i++) denied[i] += o.denied[i];
}

}  // namespace macrovpn::shell
