// What a kernel did on the paths of tests/e2e/tcp_model_test.py, which holds the model against a kernel that runs; here the figures that it
// gave once (Linux 6.18, iperf3, medians), so that every run of the unit tests holds the model against them.
#include <gtest/gtest.h>

#include "sim/tcp/bulk_run.h"

namespace macrovpn::sim {
namespace {

struct Row {
  const char* name;
  BulkRun run;
  uint64_t kilobits, again;  // the kernel's
};

BulkRun on_queue(CongestionControl control) {
  return {control, megabits(10), 20ms, 10ms, LossModel::none(), 3s, 14s};
}
BulkRun on_loss(CongestionControl control) {
  return {control, megabits(20), 30ms, 100ms, LossModel::independent(5000), 3s, 14s};
}

TEST(Tcp, CarriesWhatAKernelCarries) {
  for (const Row& row : {Row{"reno, queue", on_queue(CongestionControl::reno), 8280, 24}, Row{"cubic, queue", on_queue(CongestionControl::cubic), 9290, 11},
                         Row{"reno, loss", on_loss(CongestionControl::reno), 2970, 20}, Row{"cubic, loss", on_loss(CongestionControl::cubic), 3250, 18}}) {
    std::vector<uint64_t> kilobits, again;
    const uint64_t seeds = row.run.loss == LossModel::none() ? 1 : 9;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
      const BulkFigures f = run_bulk(row.run, seed);
      kilobits.push_back(f.kilobits_per_second);
      again.push_back(f.again);
    }
    std::sort(kilobits.begin(), kilobits.end());
    std::sort(again.begin(), again.end());
    const uint64_t got = kilobits[kilobits.size() / 2], sent_again = again[again.size() / 2];
    EXPECT_GE(got * 100, row.kilobits * 85) << row.name;
    EXPECT_LE(got * 100, row.kilobits * 115) << row.name;
    EXPECT_GE(sent_again * 2, row.again) << row.name;
    EXPECT_LE(sent_again, row.again * 2) << row.name;
  }
}

}  // namespace
}  // namespace macrovpn::sim
