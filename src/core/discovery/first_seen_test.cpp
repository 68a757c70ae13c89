#include "core/discovery/first_seen.h"

#include <gtest/gtest.h>

#include "core/discovery/sync_lab_test.h"

namespace macrovpn::discovery {
namespace {

const Wall kNow = wall_from_unix(1'800'000'000);
constexpr auto kDay = std::chrono::hours(24);

struct Relay {
  RelayEntry entry;
  Relay(uint64_t id, Wall created) {
    entry.short_id = {id};
    entry.descriptor.relay.created = created;
  }
};

TEST(FirstSeen, TakesTheWordOfThoseThatWereThereOnTheFirstDay) {
  FirstSeen seen;
  const Relay old(1, kNow - 100 * kDay), late(2, kNow - 100 * kDay);
  EXPECT_EQ(seen.believed(old.entry, kNow).created, kNow - 100 * kDay);
  EXPECT_EQ(seen.believed(late.entry, kNow + kFirstDay).created, kNow - 100 * kDay) << "a network that is still found";
}

TEST(FirstSeen, BelievesNoneThatComesLaterToBeOlderThanItsComing) {
  FirstSeen seen;
  const Relay old(1, kNow - 100 * kDay), liar(2, kNow - 100 * kDay), honest(3, kNow + 9 * kDay);
  static_cast<void>(seen.believed(old.entry, kNow));
  EXPECT_EQ(seen.believed(liar.entry, kNow + 8 * kDay).created, kNow + 8 * kDay);
  EXPECT_EQ(seen.believed(liar.entry, kNow + 20 * kDay).created, kNow + 8 * kDay) << "its coming, and not now";
  EXPECT_EQ(seen.believed(honest.entry, kNow + 8 * kDay).created, kNow + 9 * kDay) << "younger than it looks is believed";
}

TEST(FirstSeen, KnowsThemAfterARestartAndAfterTheirExpiry) {
  FirstSeen seen;
  seen.restore({1}, kNow - 40 * kDay);
  seen.restore({2}, kNow - 10 * kDay);
  const Relay first(1, kNow - 100 * kDay), back(2, kNow - 100 * kDay);
  EXPECT_EQ(seen.believed(first.entry, kNow).created, kNow - 100 * kDay);
  EXPECT_EQ(seen.believed(back.entry, kNow).created, kNow - 10 * kDay);
}

TEST(FirstSeen, AClockThatWasAheadMakesNobodyYoungerThanNow) {
  FirstSeen seen;
  seen.restore({1}, kNow - 40 * kDay);
  seen.restore({2}, kNow + 400 * kDay);
  const Relay r(2, kNow - 100 * kDay);
  EXPECT_EQ(seen.believed(r.entry, kNow).created, kNow);
}

TEST(FirstSeen, ForgetsWhoIsNotInTheSet) {
  FirstSeen seen;
  seen.restore({1}, kNow);
  seen.keep(RelaySet(Network{}));
  EXPECT_EQ(seen.size(), 0u);
}

}  // namespace
}  // namespace macrovpn::discovery
