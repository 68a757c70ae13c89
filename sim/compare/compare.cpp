// sim-tcp-compare: one bulk transfer of the TCP model over a path, and what came of it.
//
//   sim-tcp-compare CONTROL RATE_KBIT DELAY_US QUEUE_US LOSS_PPM OMIT SECONDS SEED
//
// CONTROL: reno or cubic. Prints one JSON line about the SECONDS after the first OMIT seconds: goodput in kbit/s, segments, and how many of
// them were sent again.
#include <cstdlib>
#include <iostream>

#include "sim/tcp/bulk_run.h"

int main(int argc, char** argv) {
  using namespace macrovpn;
  using namespace macrovpn::sim;
  if (argc != 9) {
    std::cerr << "usage: sim-tcp-compare reno|cubic RATE_KBIT DELAY_US QUEUE_US LOSS_PPM OMIT SECONDS SEED\n";
    return 2;
  }
  const auto number = [&](int i) { return std::strtoull(argv[i], nullptr, 10); };
  const BulkRun run{.control = std::string_view(argv[1]) == "reno" ? CongestionControl::reno : CongestionControl::cubic,
                    .rate = {number(2) * 125}, .delay = std::chrono::microseconds(number(3)), .queue = std::chrono::microseconds(number(4)),
                    .loss = LossModel::independent(static_cast<Ppm>(number(5))), .omitted = std::chrono::seconds(number(6)),
                    .measured = std::chrono::seconds(number(7))};
  const BulkFigures f = run_bulk(run, number(8));
  std::cout << "{\"kbit\": " << f.kilobits_per_second << ", \"segments\": " << f.segments << ", \"again\": " << f.again
            << ", \"recoveries\": " << f.recoveries << ", \"timeouts\": " << f.timeouts << ", \"probes\": " << f.probes << "}" << std::endl;
  return 0;
}
