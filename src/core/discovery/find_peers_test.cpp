#include "core/discovery/find_peers.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace macrovpn::discovery {
namespace {

const Wall kNow = wall_from_unix(1'800'000'000);

Region region(const char* code) { return {{static_cast<uint8_t>(code[0]), static_cast<uint8_t>(code[1])}}; }

PeerFacts peer(uint8_t n, uint64_t bandwidth = 1'000'000, const char* code = "NO") {
  RelayInfo r;
  r.id.bytes[0] = n;
  r.flags.set(RelayFlag::guard);
  r.bandwidth = {bandwidth};
  if (*code != 0) r.region = region(code);
  r.created = kNow - std::chrono::hours(24 * 30);
  return facts_of(r, std::nullopt);
}
RelaySeen seen(Duration rtt, double worked, double failed = 0) { return {rtt, {}, {}, worked, failed}; }

std::vector<int> ids(const FoundPeers& f) {
  std::vector<int> out;
  for (const PeerFacts* p : f.first) out.push_back(p->id.bytes[0]);
  return out;
}

TEST(FindPeers, SaysWhatIsClaimedAndWhatIsUnknown) {
  EXPECT_EQ(peer(1).region_is, Proof::claimed);
  EXPECT_EQ(peer(1).bandwidth_is, Proof::claimed);
  EXPECT_EQ(peer(1, 0, "").region_is, Proof::unknown);
  EXPECT_EQ(peer(1, 0, "").bandwidth_is, Proof::unknown);
}

TEST(FindPeers, WhatWeUsedOurselvesIsVerified) {
  RelayInfo r;
  r.bandwidth = {1'000'000};
  RelaySeen s = seen(10ms, 3);
  s.throughput = {1'500'000};
  EXPECT_EQ(facts_of(r, s).bandwidth_is, Proof::verified);
  s.throughput = {900'000};
  EXPECT_EQ(facts_of(r, s).bandwidth_is, Proof::claimed) << "less passed than it claims: that may be us";
  EXPECT_EQ(facts_of(r, s).bandwidth, r.bandwidth);
}

TEST(FindPeers, KeepsTheMinimumOfBandwidth) {
  const std::vector<PeerFacts> all = {peer(1, 5'000'000), peer(2, 500'000), peer(3, 0)};
  EXPECT_EQ(ids(find_peers(all, {.min_bandwidth = {1'000'000}}, kNow)), std::vector<int>{1});
  EXPECT_EQ(find_peers(all, {}, kNow).matched, 3u);
}

TEST(FindPeers, AClaimIsNoAnswerToWhoWantsItVerified) {
  std::vector<PeerFacts> all = {peer(1, 5'000'000), peer(2, 5'000'000)};
  all[1].bandwidth_is = Proof::verified;
  EXPECT_EQ(ids(find_peers(all, {.min_bandwidth = {1}, .claims = PeerQuery::Claims::do_not_count}, kNow)), std::vector<int>{2});
  EXPECT_EQ(find_peers(all, {.regions = {region("NO")}, .claims = PeerQuery::Claims::do_not_count}, kNow).matched, 0u);
  all[0].region_is = Proof::verified;
  EXPECT_EQ(ids(find_peers(all, {.regions = {region("NO")}, .claims = PeerQuery::Claims::do_not_count}, kNow)), std::vector<int>{1});
}

TEST(FindPeers, ARefutedRegionIsNoneEvenForWhoAcceptsClaims) {
  std::vector<PeerFacts> all = {peer(1), peer(2)};
  all[0].region_is = Proof::refuted;
  EXPECT_EQ(ids(find_peers(all, {.regions = {region("NO")}}, kNow)), std::vector<int>{2});
}

TEST(FindPeers, LatencyAndReputationAreOnlyWhatWeSaw) {
  std::vector<PeerFacts> all = {peer(1), peer(2), peer(3)};
  all[0].seen = seen(20ms, 20);
  all[1].seen = seen(200ms, 20, 20);
  EXPECT_EQ(ids(find_peers(all, {.max_latency = 50ms}, kNow)), std::vector<int>{1});
  EXPECT_EQ(ids(find_peers(all, {.min_reputation = 0.9}, kNow)), std::vector<int>{1});
  EXPECT_EQ(find_peers(all, {.max_latency = 50ms, .unseen = PeerQuery::Unseen::kept}, kNow).matched, 2u) << "but not the slow one";
}

TEST(FindPeers, WhoIsBelievedDeadComesLastOrNotAtAll) {
  std::vector<PeerFacts> all = {peer(1, 5'000'000), peer(2, 500'000), peer(3, 400'000)};
  all[0].answers = Liveness::dead;
  all[1].answers = Liveness::alive;
  EXPECT_EQ(ids(find_peers(all, {}, kNow)), (std::vector<int>{2, 3, 1}));
  EXPECT_EQ(ids(find_peers(all, {.dead = PeerQuery::Dead::left_out}, kNow)), (std::vector<int>{2, 3})) << "of 3 nothing is known: it may be there";
}

TEST(FindPeers, PreferredRegionsComeFirstAndRequiredOnesAlone) {
  const std::vector<PeerFacts> all = {peer(1, 9'000'000, "SE"), peer(2, 1'000'000, "NO"), peer(3, 9'000'000, "")};
  PeerQuery q{.regions = {region("NO")}};
  EXPECT_EQ(ids(find_peers(all, q, kNow)), std::vector<int>{2});
  q.region_rule = PeerQuery::Regions::preferred;
  EXPECT_EQ(ids(find_peers(all, q, kNow)), (std::vector<int>{2, 1, 3}));
}

TEST(FindPeers, RolesMustAllBeThere) {
  std::vector<PeerFacts> all = {peer(1), peer(2)};
  all[1].flags.set(RelayFlag::exit);
  PeerQuery q;
  q.roles.set(RelayFlag::exit);
  q.roles.set(RelayFlag::guard);
  EXPECT_EQ(ids(find_peers(all, q, kNow)), std::vector<int>{2});
}

TEST(FindPeers, BestIsWhatWorkedHereBeforeWhatClaimsMuch) {
  std::vector<PeerFacts> all = {peer(1, 1'000'000), peer(2, 1'000'000'000), peer(3, 1'000'000)};
  all[0].bandwidth_is = Proof::verified;
  all[0].seen = seen(20ms, 50);
  all[2].seen = seen(20ms, 1, 30);
  const auto order = ids(find_peers(all, {}, kNow));
  EXPECT_EQ(order.back(), 3) << "who fails is last";
  // A claim of a thousand times as much counts as four times the median, and half of that.
  all.push_back(peer(4, 4'000'000));
  EXPECT_EQ(ids(find_peers(all, {.order = PeerOrder::reputation}, kNow))[0], 1);
}

TEST(FindPeers, OrdersByWhatWasAskedFor) {
  std::vector<PeerFacts> all = {peer(1, 1), peer(2, 300), peer(3, 200)};
  all[0].seen = seen(5ms, 1);
  all[2].seen = seen(1ms, 4);
  all[1].created = kNow - std::chrono::hours(24 * 900);
  all[2].bandwidth_is = Proof::verified;
  EXPECT_EQ(ids(find_peers(all, {.order = PeerOrder::latency}, kNow)), (std::vector<int>{3, 1, 2}));
  EXPECT_EQ(ids(find_peers(all, {.order = PeerOrder::bandwidth}, kNow)), (std::vector<int>{3, 2, 1}));
  EXPECT_EQ(ids(find_peers(all, {.order = PeerOrder::reputation}, kNow)), (std::vector<int>{3, 1, 2}));
  EXPECT_EQ(ids(find_peers(all, {.order = PeerOrder::age}, kNow))[0], 2);
}

// A naive twin: every relay that a query leaves out fails one of its wishes, and the first few are those of the whole order.
TEST(FindPeers, TheFirstFewAreThoseOfTheWholeOrder) {
  SeededRng rng(5);
  std::vector<PeerFacts> all;
  for (int i = 0; i < 500; i++) {
    PeerFacts f = peer(static_cast<uint8_t>(i), rng.below(1'000'000), rng.below(2) == 0 ? "NO" : "SE");
    f.id.bytes[1] = static_cast<uint8_t>(i >> 8);
    if (rng.below(2) == 0) f.seen = seen(rng.between(1ms, 300ms), static_cast<double>(rng.below(9)), static_cast<double>(rng.below(3)));
    all.push_back(f);
  }
  for (const PeerOrder order : {PeerOrder::best, PeerOrder::latency, PeerOrder::bandwidth, PeerOrder::reputation, PeerOrder::age}) {
    PeerQuery q{.min_bandwidth = {200'000}, .regions = {region("NO")}, .order = order};
    const auto whole = find_peers(all, q, kNow);
    q.most = 17;
    const auto few = find_peers(all, q, kNow);
    ASSERT_EQ(few.matched, whole.matched);
    ASSERT_TRUE(std::equal(few.first.begin(), few.first.end(), whole.first.begin()));
    size_t naive = 0;
    for (const PeerFacts& f : all) naive += f.bandwidth.bytes_per_second >= 200'000 && f.region == region("NO");
    EXPECT_EQ(whole.matched, naive);
  }
}

TEST(FindPeers, NothingInNothingOut) { EXPECT_EQ(find_peers({}, {}, kNow).matched, 0u); }

}  // namespace
}  // namespace macrovpn::discovery
