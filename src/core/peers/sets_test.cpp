#include <gtest/gtest.h>

#include <algorithm>

#include "core/peers/guard_set.h"
#include "core/peers/middle_set.h"

namespace macrovpn::peers {
namespace {

const Wall kNow = wall_from_unix(1'790'000'000);
constexpr Mono kMono{1000s};
PeerId id(uint8_t n) {
  return PeerId{{n}};
}

GuardSet filled() {
  GuardSet g;
  for (uint8_t n = 1; n <= 3; n++) EXPECT_EQ(g.add(id(n), kNow), GuardSet::Add::added);
  return g;
}

TEST(GuardSet, UsesItsThreeInOrder) {
  GuardSet g = filled();
  EXPECT_FALSE(g.wants_more());
  EXPECT_EQ(g.in_order(kMono), (std::vector{id(1), id(2), id(3)}));
}

TEST(GuardSet, TriesOneThatFailedLatelyAfterTheOthers) {
  GuardSet g = filled();
  g.succeeded(id(1));
  g.failed(id(1), kMono);
  EXPECT_EQ(g.in_order(kMono + 1s), (std::vector{id(2), id(3), id(1)}));
  EXPECT_EQ(g.in_order(kMono + GuardSet::kRetryAfter), (std::vector{id(1), id(2), id(3)}));
}

TEST(GuardSet, UsesThoseThatNeverWorkedLast) {
  GuardSet g = filled();
  g.failed(id(1), kMono);
  EXPECT_EQ(g.in_order(kMono + GuardSet::kRetryAfter), (std::vector{id(2), id(3), id(1)}));
  const auto back = GuardSet::load(g.save());
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->in_order(kMono), (std::vector{id(2), id(3), id(1)})) << "a restart does not make it better";
  g.succeeded(id(1));
  EXPECT_EQ(g.in_order(kMono), (std::vector{id(1), id(2), id(3)}));
}

// After an outage all have failed, and one may be dead: it is not asked again before the others.
TEST(GuardSet, TriesThoseThatFailedLatelyInTheOrderOfTheirFailures) {
  GuardSet g = filled();
  for (uint8_t n : {2, 3, 1}) g.failed(id(n), kMono + n * 1s);
  EXPECT_EQ(g.in_order(kMono + 10s), (std::vector{id(1), id(2), id(3)}));
  g.failed(id(1), kMono + 10s);
  EXPECT_EQ(g.in_order(kMono + 11s), (std::vector{id(2), id(3), id(1)}));
  g.failed(id(2), kMono + 11s);
  EXPECT_EQ(g.in_order(kMono + 12s), (std::vector{id(3), id(1), id(2)}));
}

TEST(GuardSet, RefusesTheThirdNewOneInAWeek) {
  GuardSet g = filled();
  for (uint8_t n = 1; n <= 3; n++) g.forget(id(n));
  EXPECT_EQ(g.add(id(10), kNow), GuardSet::Add::added);
  EXPECT_EQ(g.add(id(11), kNow), GuardSet::Add::added);
  EXPECT_EQ(g.add(id(12), kNow), GuardSet::Add::too_many_new);
  EXPECT_EQ(g.add(id(12), kNow + std::chrono::hours(24 * 8)), GuardSet::Add::added);
}

TEST(GuardSet, SurvivesBeingSavedAndRefusesDamage) {
  GuardSet g = filled();
  g.failed(id(2), kMono);
  const auto saved = g.save();
  const auto back = GuardSet::load(saved);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->in_order(kMono + 1h), g.in_order(kMono + 1h));
  EXPECT_EQ(back->all()[1].failures, 1u);
  for (size_t n = 0; n < saved.size(); n++) EXPECT_FALSE(GuardSet::load(Bytes(saved).first(n)).ok()) << n;
  auto longer = saved;
  longer.push_back(0);
  EXPECT_FALSE(GuardSet::load(longer).ok());
  auto other = saved;
  other[0]++;
  EXPECT_FALSE(GuardSet::load(other).ok()) << "of another version";
}

// version, filled, guards (36 bytes each), new ones (8 bytes each)
TEST(GuardSet, LoadsNoMoreThanItMayHold) {
  const auto file = [](uint8_t guards, uint8_t recent) {
    std::vector<uint8_t> f{1, 1, guards, recent};
    f.resize(4 + 36u * guards + 8u * recent);
    return f;
  };
  const auto most = static_cast<uint8_t>(GuardSet::kMaxSampled), fresh = static_cast<uint8_t>(GuardSet::kNewPerWeek);
  EXPECT_TRUE(GuardSet::load(file(most, fresh)).ok());
  EXPECT_FALSE(GuardSet::load(file(most + 1, fresh)).ok());
  EXPECT_FALSE(GuardSet::load(file(most, fresh + 1)).ok());
}

TEST(MiddleSet, KeepsEightEachForOneToTwelveDays) {
  SeededRng rng(1);
  MiddleSet m;
  for (uint8_t n = 1; n <= 20; n++) m.add(id(n), kNow, rng);
  EXPECT_EQ(m.ids().size(), MiddleSet::kSize);
  m.drop_expired(kNow + MiddleSet::kShortest - 1s);
  EXPECT_EQ(m.ids().size(), MiddleSet::kSize);
  m.drop_expired(kNow + MiddleSet::kLongest);
  EXPECT_TRUE(m.ids().empty());
}

TEST(MiddleSet, IsTheSameAfterARestart) {
  SeededRng rng(1);
  MiddleSet m;
  for (uint8_t n = 1; n <= 8; n++) m.add(id(n), kNow, rng);
  const auto back = MiddleSet::load(m.save());
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->ids(), m.ids());
  EXPECT_EQ(back->save(), m.save());
  for (int day = 0; day <= 12; day++) {
    MiddleSet one = m, other = *back;
    one.drop_expired(kNow + day * 24h + 2h);
    other.drop_expired(kNow + day * 24h + 1h);  // an hour is what its file may lose
    const std::vector<PeerId> ids = other.ids();
    for (const PeerId& kept : one.ids()) EXPECT_EQ(std::count(ids.begin(), ids.end(), kept), 1) << day;
  }
}

TEST(MiddleSet, ReadsNoDamagedFile) {
  SeededRng rng(1);
  MiddleSet m;
  for (uint8_t n = 1; n <= 8; n++) m.add(id(n), kNow, rng);
  auto saved = m.save();
  for (size_t n = 0; n < saved.size(); n++) EXPECT_FALSE(MiddleSet::load(Bytes(saved.data(), n)).ok()) << n;
  saved[1] = 9;
  saved.resize(saved.size() + 24);
  EXPECT_FALSE(MiddleSet::load(saved).ok()) << "more than eight";
  saved = m.save();
  std::fill_n(saved.begin() + 22, 4, uint8_t{0xff});
  EXPECT_FALSE(MiddleSet::load(saved).ok()) << "an hour past all time";
}

TEST(MiddleSet, KeepsNoneForLongerThanTwelveDaysAfterAClockThatJumped) {
  SeededRng rng(1);
  MiddleSet m;
  m.add(id(1), kNow + std::chrono::hours(24 * 365), rng);
  m.drop_expired(kNow);
  ASSERT_EQ(m.ids().size(), 1u);
  m.drop_expired(kNow + MiddleSet::kLongest);
  EXPECT_TRUE(m.ids().empty());
}

PeerId guard_named(uint8_t n) {
  PeerId id;
  id.bytes[0] = n;
  return id;
}

TEST(GuardSet, GuardsOfOneDayEndAWeekApartAndEachHasASuccessor) {
  GuardSet g;
  for (uint8_t n = 1; n <= 3; n++) ASSERT_EQ(g.add(guard_named(n), kNow), GuardSet::Add::added);
  Wall now = kNow + GuardSet::kLife + 1h;
  uint8_t next = 10;
  for (int week = 0; week < 3; week++, now += std::chrono::hours(24 * 7 + 1)) {
    for (int times = 0; times < 5; times++) g.drop_expired(now);
    ASSERT_EQ(g.all().size(), 2u) << "one at a time";
    ASSERT_EQ(g.add(guard_named(next++), now), GuardSet::Add::added) << "and nobody is suspected for it";
    g.drop_expired(now);
    ASSERT_EQ(g.all().size(), 3u);
  }
  for (const auto& guard : g.all()) EXPECT_GE(guard.id.bytes[0], 10);
}

TEST(GuardSet, AClockThatJumpsCostsOneGuardAtMostAndNothingForGood) {
  GuardSet g;
  for (uint8_t n = 1; n <= 3; n++) g.add(guard_named(n), kNow);
  const Wall ahead = kNow + std::chrono::hours(24 * 400);
  g.drop_expired(ahead);
  g.add(guard_named(4), ahead);
  g.drop_expired(ahead);
  EXPECT_EQ(g.all().size(), 3u);
  // The clock is right again: the new one is of today, and ends like others.
  g.drop_expired(kNow);
  EXPECT_EQ(g.all().back().added, kNow);
  g.forget(guard_named(4));
  EXPECT_EQ(g.add(guard_named(5), kNow + std::chrono::hours(24 * 8)), GuardSet::Add::added);
}

}  // namespace
}  // namespace macrovpn::peers
