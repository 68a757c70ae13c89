#include "core/routing/path.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace macrovpn::routing {
namespace {

const Wall kNow = wall_from_unix(1'790'000'000);

struct PathTest : testing::Test {
  std::vector<RelayInfo> relays;
  Network network;
  SeededRng rng{1};

  RelayInfo& add(const char* address, std::initializer_list<RelayFlag> flags) {
    RelayInfo r;
    r.id.bytes[0] = r.identity.bytes[0] = static_cast<uint8_t>(relays.size() + 1);
    r.endpoints = {{*IpAddress::parse(address), 51820}};
    for (const RelayFlag f : flags) r.flags.set(f);
    r.bandwidth = {1 << 20};
    r.created = kNow - std::chrono::hours(24 * 60);
    relays.push_back(r);
    return relays.back();
  }
  void many() {
    for (int i = 0; i < 30; i++)
      add(("20." + std::to_string(i) + ".0.1").c_str(),
          {RelayFlag::guard, RelayFlag::middle, RelayFlag::exit});
  }
  struct View final : Candidates {
    std::vector<const RelayInfo*> relays;
    int& walks;
    View(std::span<const RelayInfo> all, int& count) : walks(count) {
      for (const RelayInfo& r : all) relays.push_back(&r);
    }
    const RelayInfo* find(const PeerId& id) const override {
      const auto at = std::find_if(relays.begin(), relays.end(), [&](const RelayInfo* r) { return r->id == id; });
      return at == relays.end() ? nullptr : *at;
    }
    std::span<const RelayInfo* const> all() const override {
      walks++;
      return relays;
    }
  };
  int walks = 0;  // through all relays
  Result<std::vector<const RelayInfo*>> choose(const PathRequest& request) {
    const View view(relays, walks);
    return choose_path(request, view, network, kNow, rng);
  }
};

TEST_F(PathTest, NoTwoHopsShareAPrefixAsFamilyOrIdentity) {
  many();
  for (size_t i = 0; i < relays.size(); i++) {
    if (i % 3 == 0) relays[i].as_number = 64500;
    if (i % 4 == 0) relays[i].family = IdentityKey{{9}};
    if (i % 5 == 0)
      relays[i].endpoints[0].address = *IpAddress::parse(("20.200.0." + std::to_string(i + 1)).c_str());
  }
  for (int round = 0; round < 500; round++) {
    const auto path = choose({.hops = 5, .guards = {relays[1].id, relays[2].id}});
    ASSERT_TRUE(path.ok());
    for (size_t a = 0; a < path->size(); a++) {
      for (size_t b = a + 1; b < path->size(); b++) EXPECT_TRUE(diverse(*(*path)[a], *(*path)[b], network));
    }
  }
}

TEST_F(PathTest, TakesTheFirstGuardThatFits) {
  many();
  const PeerId unknown{{250}};
  const auto path = choose({.guards = {unknown, relays[7].id, relays[8].id}});
  ASSERT_TRUE(path.ok());
  EXPECT_EQ(path->front()->id, relays[7].id);
}

TEST_F(PathTest, TakesTheNextGuardIfTheFirstIsTheOnlyExit) {
  add("20.1.0.1", {RelayFlag::guard, RelayFlag::middle, RelayFlag::exit});
  add("20.2.0.1", {RelayFlag::guard, RelayFlag::middle});
  add("20.3.0.1", {RelayFlag::guard, RelayFlag::middle});
  const auto path = choose({.guards = {relays[0].id, relays[1].id, relays[2].id}});
  ASSERT_TRUE(path.ok());
  EXPECT_EQ(path->back()->id, relays[0].id);
}

TEST_F(PathTest, KeepsTheExitOfALeaseAndAvoidsTheDeadMiddle) {
  many();
  for (int i = 0; i < 200; i++) {
    const auto path = choose({.guards = {relays[0].id},
                              .middles = {relays[3].id, relays[4].id},
                              .exit = relays[9].id,
                              .avoid = {relays[3].id}});
    ASSERT_TRUE(path.ok());
    EXPECT_EQ(path->back()->id, relays[9].id);
    EXPECT_EQ((*path)[1]->id, relays[4].id);
  }
}

TEST_F(PathTest, MiddlesThatWereOnlyOnTheWayComeBeforeStrangersAndSilentOnesAfter) {
  many();
  PathRequest request{.guards = {relays[0].id}, .middles = {relays[3].id, relays[4].id}, .exit = relays[9].id};
  request.avoid = {relays[3].id, relays[4].id, relays[11].id};
  request.silent = {relays[3].id};
  std::set<PeerId> drawn;
  for (int i = 0; i < 100; i++) drawn.insert((*choose(request))[1]->id);
  EXPECT_EQ(drawn, std::set{relays[4].id});
  request.silent.push_back(relays[4].id);
  request.silent.push_back(relays[12].id);
  drawn.clear();
  for (int i = 0; i < 2000; i++) drawn.insert((*choose(request))[1]->id);
  EXPECT_EQ(drawn.size(), relays.size() - 6);  // guard, exit, two silent of the set, one silent and one avoided stranger
  EXPECT_FALSE(drawn.contains(relays[3].id) || drawn.contains(relays[4].id) || drawn.contains(relays[11].id) || drawn.contains(relays[12].id));
}

TEST_F(PathTest, WhoHopsGetsAnotherMiddleIfTheSetHasAnyThatMightAnswer) {
  many();
  PathRequest request{.guards = {relays[0].id, relays[5].id}, .middles = {relays[3].id, relays[4].id, relays[5].id}, .exit = relays[9].id};
  const auto drawn = [&] {
    std::set<PeerId> out;
    for (int i = 0; i < 100; i++) out.insert((*choose(request))[1]->id);
    return out;
  };
  request.avoid = {relays[3].id};
  request.doubted = {relays[4].id};
  EXPECT_EQ(drawn(), std::set{relays[4].id});  // it failed some day
  request.silent = {relays[4].id};
  EXPECT_EQ(drawn(), std::set{relays[5].id});  // another guard of ours
  request.avoid.push_back(relays[5].id);
  EXPECT_EQ(drawn(), (std::set{relays[3].id, relays[5].id}));  // nothing but what is left
  request.silent.push_back(relays[3].id);
  request.avoid.clear();
  EXPECT_FALSE(drawn().contains(relays[5].id));  // strangers, rather than a guard
}

TEST_F(PathTest, AnotherCircuitToTheSameExitIsNoWalkThroughAllRelays) {
  many();
  PathRequest request{.guards = {relays[0].id}, .middles = {relays[3].id, relays[4].id}};
  ASSERT_TRUE(choose(request).ok());
  EXPECT_EQ(walks, 1);  // a first exit
  request.exit = relays[9].id;
  for (int i = 0; i < 20; i++) ASSERT_TRUE(choose(request).ok());
  EXPECT_EQ(walks, 1);
}

TEST_F(PathTest, SaysWhatIsMissing) {
  add("20.1.0.1", {RelayFlag::guard});
  EXPECT_NE(choose({.guards = {relays[0].id}}).error().message.find("exit"), std::string::npos);
  EXPECT_NE(choose({}).error().message.find("entry"), std::string::npos);
}

TEST_F(PathTest, RespectsTheRegion) {
  many();
  relays[12].region = Region{{'D', 'E'}};
  const auto path = choose({.guards = {relays[0].id}, .exit_region = Region{{'D', 'E'}}});
  ASSERT_TRUE(path.ok());
  EXPECT_EQ(path->back()->id, relays[12].id);
}

TEST_F(PathTest, CapsTheWeightOfALoudClaim) {
  many();
  relays[5].bandwidth = {uint64_t{1} << 50};
  std::vector<const RelayInfo*> view;
  for (const RelayInfo& r : relays) view.push_back(&r);
  int loud = 0;
  constexpr int kDraws = 20'000;
  for (int i = 0; i < kDraws; i++) loud += weighted_draw(view, network, kNow, rng) == &relays[5];
  // Four times the median: 4 of 33 parts.
  EXPECT_NEAR(loud, kDraws * 4 / 33, kDraws / 100);
}

TEST_F(PathTest, AYoungRelayCountsLess) {
  add("20.1.0.1", {RelayFlag::exit}).created = kNow - std::chrono::hours(1);
  add("20.2.0.1", {RelayFlag::exit});
  const RelayInfo* view[] = {&relays[0], &relays[1]};
  int young = 0;
  for (int i = 0; i < 15'000; i++) young += weighted_draw(view, network, kNow, rng) == &relays[0];
  EXPECT_NEAR(young, 1'000, 150);
}

}  // namespace
}  // namespace macrovpn::routing
