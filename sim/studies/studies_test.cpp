// Small studies, twice: the same figures, and those that the length of the links allows.
#include <gtest/gtest.h>

#include "sim/studies/asker.h"
#include "sim/studies/circuits.h"
#include "sim/studies/lab.h"
#include "sim/studies/recovery.h"
#include "sim/studies/throughput.h"

namespace macrovpn::sim {
namespace {

struct Quiet final : Progress {
  void at(const std::string&, size_t done, size_t of) override {
    EXPECT_LT(done, of);
    calls++;
  }
  size_t calls = 0;
};

void expect_equal(const Study& a, const Study& b) {
  EXPECT_EQ(json_of(a, 1), json_of(b, 1));
  ASSERT_EQ(a.pictures.size(), b.pictures.size());
  for (size_t i = 0; i < a.pictures.size(); i++) EXPECT_EQ(a.pictures[i].svg, b.pictures[i].svg) << a.pictures[i].name;
}

uint64_t number(const Study& s, size_t row, const std::string& column) {
  const Table& t = s.tables.front();
  const auto at = std::find(t.columns.begin(), t.columns.end(), column);
  EXPECT_NE(at, t.columns.end()) << column;
  return std::stoull(t.rows.at(row)[static_cast<size_t>(at - t.columns.begin())].text);
}

TEST(Studies, ACircuitTakesTheRoundTripsThatItMustAndNoMore) {
  const CircuitsConfig config{.seed = 3, .links = {20ms, 200ms}, .losses = {0}, .builds = 6};
  Quiet quiet;
  const Study s = study_circuits(config, quiet);
  ASSERT_EQ(s.tables.front().rows.size(), 4u);
  EXPECT_EQ(s.pictures.size(), 2u);
  EXPECT_EQ(quiet.calls, 4u);
  for (size_t row = 0; row < 4; row++) {
    const uint64_t link = row < 2 ? 20 : 200, ready = row % 2 == 0 ? 3 : 6;
    // Processing takes no time in a world: whatever is more would be a round trip too many.
    EXPECT_EQ(number(s, row, "ready 50%"), ready * link) << row;
    EXPECT_EQ(number(s, row, "answer 50%"), (ready + 3) * link) << row;
    EXPECT_EQ(number(s, row, "most"), (ready + 3) * link) << row;
  }
  expect_equal(s, study_circuits(config, quiet));
  EXPECT_NE(study_circuits({.seed = 4, .links = {20ms}, .losses = {0}, .builds = 2}, quiet).hash, s.hash);
}

TEST(Studies, ALostDatagramCostsOneAskingMore) {
  Quiet quiet;
  const Study s = study_circuits({.seed = 5, .links = {20ms}, .losses = {20'000}, .builds = 40}, quiet);
  EXPECT_EQ(number(s, 0, "answer 50%"), 120u);
  EXPECT_GE(number(s, 0, "90%"), 1000u);  // some lost one
  EXPECT_LE(number(s, 0, "90%"), 1200u);
}

TEST(Studies, ARelayThatDiesIsReplaced) {
  const RecoveryConfig config{.seed = 3, .links = {20ms}, .deaths = 2};
  Quiet quiet;
  const Study s = study_recovery(config, quiet);
  ASSERT_EQ(s.tables.front().rows.size(), 9u);
  for (size_t row = 0; row < 9; row++) {
    // Three silences of 450 ms, and then a circuit.
    EXPECT_GE(number(s, row, "least"), 1350u - 60u) << row;
    EXPECT_LE(number(s, row, "most"), 10'000u) << row;
  }
  expect_equal(s, study_recovery(config, quiet));
}

TEST(Studies, ATransferFillsALineWithoutLossAndAsMuchAsOverOneWire) {
  const ThroughputConfig config{.seed = 3, .transfers = {{.link = 50ms, .rate = megabits(10), .omitted = 6s, .lasts = 14s}}};
  Quiet quiet;
  const Study s = study_throughput(config, quiet);
  expect_equal(s, study_throughput(config, quiet));
  const Transfer& t = config.transfers.front();
  Study counted;
  const Carried circuit = through_a_circuit(t, config.seed, counted), wire = over_one_wire(t, 3, config.seed);
  const uint64_t bound = bound_of(t).bytes_per_second * 8;
  EXPECT_EQ(circuit.wrong + wire.wrong, 0u);
  EXPECT_LE(circuit.bits_per_second(t.omitted), bound);
  EXPECT_GE(circuit.bits_per_second(t.omitted), bound * 85 / 100);
  EXPECT_GE(circuit.bits_per_second(t.omitted), wire.bits_per_second(t.omitted) * 95 / 100);
}

TEST(Studies, FiguresAreWhatTheySay) {
  EXPECT_EQ(quantile({}, 500), Duration(0));
  EXPECT_EQ(quantile({3ms, 1ms, 2ms, 4ms}, 500), 2ms);
  EXPECT_EQ(quantile({3ms, 1ms, 2ms, 4ms}, 0), 1ms);
  EXPECT_EQ(quantile({3ms, 1ms, 2ms, 4ms}, 1000), 4ms);
  EXPECT_EQ(percent_text(0), "0 %");
  EXPECT_EQ(percent_text(100), "0.01 %");
  EXPECT_EQ(percent_text(20'000), "2 %");
  EXPECT_EQ(milliseconds(1499us).text, "1");
  const Carried c{.bytes = {100, 125'000, 125'000}};
  EXPECT_EQ(c.bits_per_second(250ms), 4'000'000u);
  EXPECT_EQ(c.bits_per_second(10s), 0u);
}

TEST(Studies, AMarkForgetsAnswersToOlderQuestions) {
  Lab lab({.link = 20ms}, std::make_unique<Answerer>());
  auto program = std::make_unique<Asker>(Lab::inside(), lab.site(), 500ms);
  Asker& asker = *program;
  const HostId client = lab.add_client({}, std::move(program));
  const Mono began = lab.world().now().mono;
  lab.world().run_for(510ms);
  EXPECT_EQ(asker.answered(), began + 120ms);
  asker.mark(lab.world().now().mono);
  lab.world().run_for(400ms);  // the question of 500 ms is answered
  EXPECT_EQ(asker.stats.answered, 2u);
  EXPECT_EQ(asker.answered(), kNever);
  lab.world().run_for(400ms);
  EXPECT_EQ(asker.answered(), began + 1060ms);
  for (const Position p : {Position::guard, Position::middle, Position::exit}) EXPECT_TRUE(lab.relay_of(client, p)) << to_string(p);
  lab.world().crash(client);
  EXPECT_FALSE(lab.relay_of(client, Position::guard));
}

}  // namespace
}  // namespace macrovpn::sim
