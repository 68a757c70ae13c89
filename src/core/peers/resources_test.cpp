#include "core/peers/resources.h"

#include <gtest/gtest.h>

#include "core/peers/service.h"
#include "core/peers/traffic_ledger.h"

namespace macrovpn::peers {
namespace {

constexpr Bandwidth kCap{2'500'000};  // 20 Mbit/s
constexpr PeerRef kHeavy{1}, kLight{2};

// Bytes that a circuit gets which offers packets of `size`, one each `every`, for `length`.
struct Offer {
  PeerRef circuit;
  size_t size;
  Duration every;
  uint64_t got = 0, offered = 0;
};
void offer(Resources& r, std::vector<Offer>& offers, Duration length) {
  std::vector<Mono> next(offers.size(), Mono(1000s));
  for (Mono now(1000s); now < Mono(1000s) + length; now += 50us) {
    for (size_t i = 0; i < offers.size(); i++) {
      for (; next[i] <= now; next[i] += offers[i].every) {
        offers[i].offered += offers[i].size;
        if (r.carry(now, offers[i].circuit, offers[i].size)) offers[i].got += offers[i].size;
      }
    }
  }
}

TEST(Resources, HoldTheCapAndUseAllOfIt) {
  for (const Duration every : {100us, 300us, 500us}) {
    Resources r(kCap);
    std::vector<Offer> o = {{kHeavy, 1400, every}};
    offer(r, o, 5s);
    EXPECT_NEAR(static_cast<double>(o[0].got), 5 * 2.5e6, 5 * 2.5e6 * 0.05);
    EXPECT_EQ(r.bytes(), o[0].got);
    EXPECT_GT(r.dropped(), 0u);
  }
}

TEST(Resources, TakeNothingFromWhoStaysBelowItsShare) {
  Resources r(kCap);
  // Ten times the cap, against 2 Mbit/s and a stream of small packets.
  std::vector<Offer> o = {{kHeavy, 1400, 56us}, {kLight, 1250, 5ms}, {PeerRef{3}, 200, 20ms}};
  offer(r, o, 5s);
  EXPECT_EQ(o[1].got, o[1].offered);
  EXPECT_EQ(o[2].got, o[2].offered);
  EXPECT_GT(o[0].got, 5 * 2'000'000u);
}

// ---- of several shards

struct TwoShards {
  explicit TwoShards(Bandwidth cap) : bank(cap), first(cap, ShardId{0}, &bank), second(cap, ShardId{1}, &bank) {}
  // Each circuit is at one of them.
  void offer(std::vector<Offer>& at_first, std::vector<Offer>& at_second, Duration length) {
    std::vector<Mono> next(at_first.size() + at_second.size(), Mono(1000s));
    for (Mono now(1000s); now < Mono(1000s) + length; now += 50us) {
      for (size_t i = 0; i < next.size(); i++) {
        const bool here = i < at_first.size();
        Offer& o = here ? at_first[i] : at_second[i - at_first.size()];
        for (; next[i] <= now; next[i] += o.every) {
          o.offered += o.size;
          if ((here ? first : second).carry(now, o.circuit, o.size)) o.got += o.size;
        }
      }
    }
  }
  Bank bank;
  Resources first, second;
};

TEST(ResourcesOfShards, LetOneFlowAloneUseAllOfTheCap) {
  TwoShards t(kCap);
  std::vector<Offer> o = {{kHeavy, 1400, 100us}}, none;
  t.offer(o, none, 5s);
  EXPECT_NEAR(static_cast<double>(o[0].got), 5 * 2.5e6, 5 * 2.5e6 * 0.05);
}

TEST(ResourcesOfShards, HoldTheCapTogetherAndShareIt) {
  TwoShards t(kCap);
  std::vector<Offer> o = {{kHeavy, 1400, 60us}}, p = {{kLight, 1400, 300us}};
  t.offer(o, p, 5s);
  EXPECT_NEAR(static_cast<double>(o[0].got + p[0].got), 5 * 2.5e6, 5 * 2.5e6 * 0.05);
  EXPECT_GT(p[0].got, o[0].got / 2);
}

TEST(ResourcesOfShards, TakeNothingFromWhoStaysBelowItsShareAtAnother) {
  TwoShards t(kCap);
  std::vector<Offer> o = {{kHeavy, 1400, 56us}}, p = {{kLight, 1250, 5ms}, {PeerRef{3}, 200, 20ms}};
  t.offer(o, p, 5s);
  EXPECT_EQ(p[0].got, p[0].offered);
  EXPECT_EQ(p[1].got, p[1].offered);
  EXPECT_GT(o[0].got, 5 * 2'000'000u);
}

TEST(ResourcesOfShards, EndTogetherAtTheAmount) {
  for (const Bandwidth cap : {Bandwidth{}, kCap}) {
    TwoShards t(cap);
    t.bank.end_at(3'000'000);
    std::vector<Offer> o = {{kHeavy, 1400, 1ms}}, p = {{kLight, 1400, 1ms}};
    t.offer(o, p, 5s);
    const uint64_t got = o[0].got + p[0].got;
    EXPECT_GT(got, 3'000'000 - 2 * Resources::kLeastChunk);
    EXPECT_LE(got, 3'000'000 + Resources::kLeastChunk);
    t.first.carry_always(100);
    EXPECT_FALSE(t.first.carry(Mono(2000s), kHeavy, 1400) && t.second.carry(Mono(2000s), kLight, 70'000));
  }
}

TEST(Resources, ShareTheCapBetweenTwoThatWantAll) {
  Resources r(kCap);
  std::vector<Offer> o = {{kHeavy, 1400, 60us}, {kLight, 1400, 300us}};
  offer(r, o, 5s);
  EXPECT_NEAR(static_cast<double>(o[0].got + o[1].got), 5 * 2.5e6, 5 * 2.5e6 * 0.05);
  EXPECT_GT(o[1].got, o[0].got / 2);
}

TEST(Resources, HoldTheCapAgainstManySmallPacketsToo) {
  Resources r(kCap);
  std::vector<Offer> o = {{kHeavy, 200, 20us}};
  offer(r, o, 5s);
  EXPECT_LT(static_cast<double>(o[0].got), 5 * 2.5e6 * 1.06);
}

TEST(Resources, HoldALowCapToo) {
  Resources r(Bandwidth{1000});
  std::vector<Offer> o = {{kHeavy, 1000, 100ms}};
  offer(r, o, 100s);
  EXPECT_GT(o[0].got, 100'000u);
  EXPECT_LT(o[0].got, 100'000 + Resources::kLeastBurst);
}

TEST(Resources, WithoutACapOnlyCount) {
  Resources r(Bandwidth{});
  for (int i = 0; i < 1000; i++) EXPECT_TRUE(r.carry(Mono(1s), kHeavy, 1400));
  r.carry_always(148);
  EXPECT_EQ(r.bytes(), 1000u * 1400 + 148);
}

TEST(Resources, RememberABoundedNumberOfCircuits) {
  Resources r(Bandwidth{1'000'000'000});
  for (uint64_t i = 1; i < 3 * Resources::kMaxShares; i++) r.carry(Mono(1s), PeerRef{i}, 100);
  EXPECT_EQ(r.bytes(), 100 * (3 * Resources::kMaxShares - 1));
}

// ---- the ledger

constexpr Wall kOct30 = wall_from_unix(1'793'318'400);  // 2026-10-30 00:00 UTC
constexpr Wall kNov01 = kOct30 + std::chrono::hours(48);
Now at(Wall w, Mono m) {
  return {m, w};
}

TEST(TrafficLedger, CountsTodayTheMonthAndAll) {
  TrafficLedger l({}, 1);
  l.add(at(kOct30, Mono(10s)), 5);
  l.add(at(kOct30 + 25h, Mono(10s) + 25h), 7);
  EXPECT_EQ(l.record().day_bytes, 7u);
  EXPECT_EQ(l.record().month_bytes, 12u);
  EXPECT_EQ(l.record().total_bytes, 12u);
  EXPECT_EQ(l.next_month(), kNov01);
}

TEST(TrafficLedger, TurnsTheMonthAtMidnightWhereTheClockWasSteady) {
  TrafficLedger l({}, 1);
  l.add(at(kOct30, Mono(10s)), 5);
  l.add(at(kNov01, Mono(10s) + 48h), 3);
  EXPECT_EQ(l.record().month_bytes, 3u);
  EXPECT_EQ(l.record().total_bytes, 8u);
}

TEST(TrafficLedger, StartsTheMonthOnTheDayOfTheContract) {
  TrafficLedger l({}, 15);
  l.add(at(kNov01, Mono(10s)), 5);
  EXPECT_EQ(l.next_month(), kOct30 + std::chrono::hours(24 * 16));
  l.add(at(l.next_month(), Mono(10s) + (l.next_month() - kNov01)), 2);
  EXPECT_EQ(l.record().month_bytes, 2u);
}

TEST(TrafficLedger, AJumpOfTheCalendarGivesNothingBack) {
  TrafficLedger l({}, 1);
  l.add(at(kOct30, Mono(0s)), 100);
  l.add(at(kOct30 + 2h, Mono(2h)), 0);
  l.add(at(kNov01 + 40 * 24h, Mono(2h) + 1s), 5);  // forward
  EXPECT_EQ(l.record().month_bytes, 105u);
  l.add(at(kNov01 + 40 * 24h + 59min, Mono(2h) + 59min), 5);
  EXPECT_EQ(l.record().month_bytes, 110u);
  l.add(at(kOct30 + 3h, Mono(3h)), 5);  // and back again
  l.add(at(kOct30 + 9h, Mono(9h)), 0);
  EXPECT_EQ(l.record().month_bytes, 115u);
  EXPECT_EQ(l.next_month(), kNov01);
  l.add(at(kOct30 - 90 * 24h, Mono(10h)), 1);  // back, for good
  l.add(at(kOct30 - 90 * 24h + 2h, Mono(12h)), 0);
  EXPECT_EQ(l.record().month_bytes, 116u) << "the month is another, the bytes stay";
  EXPECT_LT(l.next_month(), kOct30);
}

TEST(TrafficLedger, AfterARestartANewMonthCountsOnceTheClockWasTrustedForAnHour) {
  TrafficLedger before({}, 1);
  before.add(at(kOct30, Mono(0s)), 100);
  TrafficLedger l(before.record(), 1);
  l.add(at(kNov01, Mono(5s)), 10);
  EXPECT_EQ(l.record().month_bytes, 110u);
  l.add(at(kNov01 + 1h, Mono(5s) + 1h), 1);
  EXPECT_EQ(l.record().month_bytes, 11u);
}

// ---- the service

TEST(Hours, MayGoOverMidnight) {
  const Hours night{22 * 60, 7 * 60}, day{7 * 60, 22 * 60}, always{};
  EXPECT_TRUE(night.contains(23 * 60) && night.contains(0) && night.contains(7 * 60 - 1) && night.contains(22 * 60));
  EXPECT_FALSE(night.contains(7 * 60) || night.contains(12 * 60));
  EXPECT_TRUE(day.contains(7 * 60) && !day.contains(22 * 60) && !day.contains(0));
  EXPECT_TRUE(always.contains(0) && always.contains(1439));
}

TEST(ServicePolicy, DrainsUntilNobodyIsLeft) {
  ServicePolicy p({});
  ServiceFacts f{.in_use = true, .last_carried = Mono(99s)};
  EXPECT_EQ(p.update(Mono(99s), f), Service::open);
  f.stopping = true;
  EXPECT_EQ(p.update(Mono(100s), f), Service::draining);
  EXPECT_EQ(p.why(), WhyNot::stopping);
  f.last_carried = Mono(102s);
  EXPECT_EQ(p.update(Mono(102s), f), Service::draining);
  f.in_use = false;
  EXPECT_EQ(p.update(Mono(103s), f), Service::closed);
}

TEST(ServicePolicy, WaitsNeitherForTheSilentNorForever) {
  ServiceFacts f{.stopping = true, .in_use = true, .last_carried = Mono(50s)};
  ServicePolicy silent({});
  silent.update(Mono(100s), f);
  EXPECT_EQ(silent.update(Mono(100s) + ServicePolicy::kQuiet, f), Service::closed);
  ServicePolicy busy({.drain = 10s});
  busy.update(Mono(100s), f);
  for (int s = 101; s < 110; s++) {
    f.last_carried = Mono(std::chrono::seconds(s));
    EXPECT_EQ(busy.update(f.last_carried, f), Service::draining) << s;
  }
  EXPECT_EQ(busy.update(Mono(110s), f), Service::closed);
}

TEST(ServicePolicy, OpensAgainWithTheHoursAndWithTheMonth) {
  ServicePolicy p({.bytes_per_month = 1000, .hours = {60, 120}});
  ServiceFacts f{.minute_of_day = 119};
  EXPECT_EQ(p.update(Mono(1s), f), Service::open);
  f.minute_of_day = 120;
  p.update(Mono(2s), f);
  EXPECT_EQ(p.update(Mono(3s), f), Service::closed);
  EXPECT_EQ(p.why(), WhyNot::hours);
  f.minute_of_day = 60;
  EXPECT_EQ(p.update(Mono(4s), f), Service::open);
  f.month_bytes = 1000;
  EXPECT_EQ(p.update(Mono(5s), f), Service::draining);
  EXPECT_EQ(p.why(), WhyNot::amount);
  f.month_bytes = 0;
  EXPECT_EQ(p.update(Mono(6s), f), Service::open);
}

TEST(ServicePolicy, ExceedsTheAmountByAHundredthAtMost) {
  ServicePolicy p({.bytes_per_month = 1000});
  ServiceFacts f{.month_bytes = 1000, .in_use = true, .last_carried = Mono(1s)};
  EXPECT_EQ(p.update(Mono(1s), f), Service::draining);
  f.month_bytes = 1010;
  EXPECT_EQ(p.update(Mono(1s), f), Service::draining);
  f.month_bytes = 1011;
  EXPECT_EQ(p.update(Mono(1s), f), Service::closed);
}

}  // namespace
}  // namespace macrovpn::peers
