// A flood of false relays as measurers: what it makes of honest relays, and of its own.
#include "core/node/bandwidths.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "core/discovery/relay_set.h"

namespace macrovpn::node {
namespace {

using discovery::EntryPtr;
using discovery::MeasurerDraw;

constexpr uint64_t kRate = 1'000'000;
constexpr Duration kWeek = discovery::kMeasureWeek;

struct Flood {
  std::shared_ptr<discovery::RelayEntry> add(const IpAddress& home, uint64_t claim, uint32_t as) {
    auto e = std::make_shared<discovery::RelayEntry>();
    const auto n = static_cast<uint32_t>(entries.size());
    store_be32(e->id.bytes.data(), n);
    store_be32(e->id.bytes.data() + 4, n * 2654435761u);
    e->short_id = discovery::short_id_of(e->id);
    e->rank = rng.u64();
    e->home = home;
    RelayInfo& r = e->descriptor.relay;
    r.id = e->id;
    r.endpoints = {{home, 51820}};
    r.bandwidth = {claim};
    r.as_number = as;
    r.created = now - std::chrono::hours(24 * 60);
    entries.push_back(e);
    return e;
  }
  // Honest ones in a /16 and an AS each; false ones in `systems` AS, 64 in a /16, who claim ten times as much.
  Flood(uint32_t honest_ones, uint32_t false_ones, uint32_t systems) : honest(honest_ones) {
    for (uint32_t i = 0; i < honest; i++) add(IpAddress::v4(0x14000001u + (i << 16)), kRate, 1000 + i);
    for (uint32_t i = 0; i < false_ones; i++) add(IpAddress::v4(0x64000001u + ((i / 64) << 16) + i % 64), 10 * kRate, 64500 + i % systems);
    all.assign(entries.begin(), entries.end());
  }
  // False relays say nothing good of honest ones and much of their own; those let nobody else measure them.
  void measure(size_t his_targets) {
    Bandwidths weights(network, kWeek);
    weights.judge(now, all, Bandwidths::Draw::wanted);
    const uint32_t week = weights.week();
    for (size_t by = 0; by < entries.size(); by++) {
      const bool is_his = by >= honest;
      MeasuredRelays said{static_cast<uint16_t>(week), {}, {}};
      for (size_t of = 0; of < honest + his_targets; of++) {
        const bool of_his = of >= honest;
        const std::optional<Bandwidth> b = is_his ? Bandwidth{of_his ? 10 * kRate : 0} : of_his ? std::nullopt : std::optional(Bandwidth{kRate});
        const MeasuredRelay result{entries[of]->short_id.value, discovery::encode_result(b)};
        // He lies about his copy too: the margin is his.
        const auto margin = is_his ? MeasurerDraw::Margin::copies_differ : MeasurerDraw::Margin::none;
        if (weights.draw().is_drawn(*entries[by], *entries[of], week, margin)) said.now.push_back(result);
        if (weights.draw().is_drawn(*entries[by], *entries[of], week - 1, margin)) said.before.push_back(result);
      }
      if (!said.now.empty()) entries[by]->descriptor.details.measured = said;
    }
    judged.judge(now, all, Bandwidths::Draw::for_results);
  }
  size_t spoilt() const {
    return static_cast<size_t>(std::count_if(entries.begin(), entries.begin() + honest, [&](const auto& e) { return judged.book().counted(*e).bytes_per_second < kRate / 2; }));
  }
  size_t gained(size_t his_targets) const {
    const auto from = entries.begin() + honest;
    return static_cast<size_t>(std::count_if(from, from + static_cast<std::ptrdiff_t>(his_targets), [&](const auto& e) { return judged.book().is_measured(e->short_id); }));
  }
  double share_of_weight() const {
    double his = 0, sum = 0;
    for (size_t i = 0; i < entries.size(); i++) {
      const auto w = static_cast<double>(judged.draw().relays()[i].weight);
      sum += w;
      his += i >= honest ? w : 0;
    }
    return his / sum;
  }

  Network network;
  Wall now = wall_from_unix(1'790'000'000);
  SeededRng rng{9};
  uint32_t honest;
  std::vector<std::shared_ptr<discovery::RelayEntry>> entries;
  std::vector<EntryPtr> all;
  Bandwidths judged{network, kWeek};
};

TEST(Bandwidths, FortyFalseRelaysForEachHonestOneMeasureFewToNothing) {
  struct Case {
    uint32_t honest, systems;
    size_t most_spoilt;
  };
  for (const Case& c : {Case{100, 2, 8}, Case{500, 2, 5}}) {
    Flood f(c.honest, 4000, c.systems);
    f.measure(40);
    std::printf("%u honest and 4000 false relays in %u AS: %.3f of the weight, %zu honest ones spoilt, %zu of 40 false ones gain\n", c.honest, c.systems,
                f.share_of_weight(), f.spoilt(), f.gained(40));
    EXPECT_LT(f.share_of_weight(), 0.2);
    EXPECT_LE(f.spoilt(), c.most_spoilt) << c.honest;
    EXPECT_LE(f.gained(40), 3u) << c.honest;
  }
}

TEST(Bandwidths, WithoutResultsClaimsCountAndNothingIsDrawn) {
  Flood f(20, 0, 1);
  EXPECT_FALSE(f.judged.judge(f.now, f.all, Bandwidths::Draw::for_results));
  EXPECT_TRUE(f.judged.draw().relays().empty());
  EXPECT_EQ(f.judged.book().counted(*f.entries[0]).bytes_per_second, kRate);
}

}  // namespace
}  // namespace macrovpn::node
