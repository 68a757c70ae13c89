// Programs for clients and servers that need no transport protocol: requests and answers in UDP, asked for again when they were
// lost.  They say how much a circuit carries and how long an answer takes; congestion is sim/tcp's matter.
//
//   browse     4 to 20 s of reading, then a page of 24 to 44 KB
//   download   256 KB again and again
//   call       a packet of 200 bytes every 40 ms, each answered
#pragma once
#include "base/rng.h"
#include "model/ip.h"
#include "sim/scenario/scenario.h"
#include "sim/world/program.h"

namespace macrovpn::sim {

// Round trips of requests, in milliseconds; for the report.
struct Latencies {
  std::vector<uint32_t> milliseconds;
};

std::unique_ptr<Program> make_talker(Work, std::vector<IpAddress> servers, SeededRng rng, Latencies& out);
std::unique_ptr<Program> make_answerer();

}  // namespace macrovpn::sim
