#include "core/discovery/liveness_map.h"

#include <gtest/gtest.h>

#include <set>

namespace macrovpn::discovery {
namespace {

EntryPtr entry(uint64_t n) {
  auto e = std::make_shared<RelayEntry>();
  store_be64(e->id.bytes.data(), n * 0x9e3779b97f4a7c15u);
  e->short_id = short_id_of(e->id);
  e->rank = n;
  e->expiry = Wall::max();
  e->home = IpAddress::v4(static_cast<uint32_t>(0x14000000u + (n << 8)));
  return e;
}
Network wide() {
  Network n;
  n.max_per_v4_16 = 1'000'000;
  return n;
}
RelaySet set_of(uint64_t from, uint64_t to) {
  RelaySet set(wide());
  SetChanges changes;
  for (uint64_t i = from; i < to; i++) set.insert(entry(i), changes);
  return set;
}
// A prober that has found these silent.
LivenessProber after_probing(Rng& rng, Mono now, const std::set<uint64_t>& dead) {
  LivenessProber p(rng);
  for (const uint64_t n : dead) {
    for (unsigned i = 0; i < kDeadAfter; i++) p.on_probed(now, entry(n)->short_id, LivenessProber::Found::silent);
  }
  return p;
}
// All questions of one client to one source.
size_t ask_all(LivenessMap& map, size_t source, const LivenessProber& p, Mono now, const RelaySet& theirs, const RelaySet& ours) {
  std::vector<IdRange> todo{kAllIds};
  size_t questions = 0;
  while (!todo.empty()) {
    const IdRange asked = todo.back();
    todo.pop_back();
    questions++;
    const auto bytes = p.answer(now, *read_map_ask(write_map_ask(asked)), theirs);
    const auto a = read_map_answer(bytes);
    EXPECT_TRUE(a);
    EXPECT_LE(bytes.size(), 1'100u) << "one datagram";
    for (const IdRange& r : map.on_answer(source, asked, *a, ours.all())) todo.push_back(r);
  }
  return questions;
}

// What is believed after comparisons that all said the same.
std::set<ShortId> believed(std::initializer_list<const LivenessMap*> rounds) {
  LivenessMemory memory;
  for (const LivenessMap* map : rounds) memory.add(map->round(), Wall(1'000'000h));
  const auto dead = memory.dead();
  for (const ShortId id : dead) EXPECT_EQ(memory.of(id), Liveness::dead);
  return {dead.begin(), dead.end()};
}

struct LivenessMapTest : ::testing::Test {
  SeededRng rng{3};
  Mono now{1h};
};

TEST_F(LivenessMapTest, ARelayProbesATwentiethAnHour) {
  const RelaySet set = set_of(0, 1'000);
  LivenessProber p(rng);
  size_t probes = 0;
  std::set<ShortId> drawn;
  for (const Mono end = now + 1h; now < end; now = std::max(now + 1ms, p.next_deadline())) {
    const EntryPtr e = p.next(now, set);
    if (!e) continue;
    EXPECT_EQ(p.next(now, set), nullptr) << "one at a time";
    probes++;
    drawn.insert(e->short_id);
    p.on_probed(now, e->short_id, LivenessProber::Found::alive);
  }
  EXPECT_NEAR(static_cast<double>(probes), 50, 2);
  EXPECT_GT(drawn.size(), 40u);
}

TEST_F(LivenessMapTest, SilenceIsAskedASecondTimeAndAnAnswerEndsIt) {
  const RelaySet set = set_of(0, 10);
  LivenessProber p(rng);
  EXPECT_EQ(p.next(now, set), nullptr) << "who starts has other things to do";
  now = p.next_deadline();
  const EntryPtr e = p.next(now, set);
  p.on_probed(now, e->short_id, LivenessProber::Found::silent);
  EXPECT_FALSE(p.is_dead(now, e->short_id)) << "a datagram may be lost";
  now = p.next_deadline();
  EXPECT_EQ(p.next(now, set), e) << "before any other";
  p.on_probed(now, e->short_id, LivenessProber::Found::silent);
  EXPECT_TRUE(p.is_dead(now, e->short_id));
  EXPECT_FALSE(p.is_dead(now + kDeadFor + 1s, e->short_id)) << "what is not known counts as alive";
  p.on_probed(now, e->short_id, LivenessProber::Found::alive);
  EXPECT_FALSE(p.is_dead(now, e->short_id));
}

TEST(LivenessMemory, IsSavedAndForgottenAfterThreeDays) {
  const Wall at(1'000'000h);
  LivenessMemory memory;
  for (int i = 0; i < 2; i++) memory.add({{ShortId{1}, {3, 0}}, {ShortId{2}, {3, 3}}, {ShortId{3}, {3, 1}}, {ShortId{4}, {3, i == 0 ? uint8_t{3} : uint8_t{0}}}}, at + 90s);
  auto loaded = LivenessMemory::load(memory.save());
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded->save(), memory.save());
  EXPECT_EQ(loaded->dead(), std::vector{ShortId{2}});
  EXPECT_EQ(loaded->of(ShortId{4}), Liveness::alive) << "what the second comparison said for it is saved too";
  EXPECT_EQ(loaded->of(ShortId{1}), Liveness::unknown) << "only who was called dead is saved";
  EXPECT_EQ(loaded->of(ShortId{3}), Liveness::alive);
  loaded->drop_old(at + kDeadFor);
  EXPECT_EQ(loaded->dead().size(), 1u);
  LivenessMemory other = *loaded;
  loaded->drop_old(at + kDeadFor + 1s);
  EXPECT_TRUE(loaded->dead().empty());
  other.drop_old(at - 1h);
  EXPECT_TRUE(other.dead().empty()) << "of the future";
}

TEST(LivenessMemory, DamagedFilesAreRefused) {
  LivenessMemory memory;
  memory.add({{ShortId{1}, {3, 2}}, {ShortId{2}, {3, 3}}}, Wall(1'000'000h));
  const std::vector<uint8_t> good = memory.save();
  const auto with = [&](size_t at, uint8_t value) {
    std::vector<uint8_t> bad = good;
    bad[at] = value;
    return LivenessMemory::load(bad).ok();
  };
  EXPECT_TRUE(with(17, 1));
  EXPECT_FALSE(with(0, 2)) << "version";
  EXPECT_FALSE(with(1, 4)) << "rounds";
  EXPECT_FALSE(with(5, 0xff)) << "an hour that does not fit";
  EXPECT_FALSE(with(6, 3)) << "too short";
  EXPECT_FALSE(with(6, 1)) << "too long";
  EXPECT_FALSE(with(16, 4)) << "more votes than sources";
  EXPECT_FALSE(with(17, 4)) << "more dead than said";
  EXPECT_FALSE(with(25, 1)) << "the same id twice";
  EXPECT_FALSE(LivenessMemory::load({}).ok());
}

TEST_F(LivenessMapTest, AMapOfEqualCopiesIsOneQuestion) {
  const RelaySet set = set_of(0, 3'000);
  std::set<uint64_t> dead;
  for (uint64_t n = 0; n < 3'000; n += 7) dead.insert(n);
  const LivenessProber p = after_probing(rng, now, dead);
  LivenessMap map;
  for (size_t s = 0; s < kMapSources; s++) EXPECT_EQ(ask_all(map, s, p, now, set, set), 1u);
  const auto known = believed({&map});
  for (uint64_t n = 0; n < 3'000; n++) ASSERT_EQ(known.contains(entry(n)->short_id), dead.contains(n)) << n;
}

TEST_F(LivenessMapTest, MoreThanFitIntoOneAnswerAreAskedOn) {
  const RelaySet set = set_of(0, 20'000);
  const LivenessProber p = after_probing(rng, now, {5, 19'999});
  LivenessMap map;
  for (size_t s = 0; s < kMapSources; s++) EXPECT_EQ(ask_all(map, s, p, now, set, set), 3u);
  EXPECT_EQ(believed({&map}), (std::set{entry(5)->short_id, entry(19'999)->short_id}));
  EXPECT_EQ(map.size(), 20'000u);
}

TEST_F(LivenessMapTest, CopiesThatDifferAgreeOnAllButThePartsThatDiffer) {
  const RelaySet theirs = set_of(0, 2'000), ours = set_of(3, 2'003);
  const LivenessProber p = after_probing(rng, now, {100, 500, 1'500});
  LivenessMap map;
  size_t questions = 0;
  for (size_t s = 0; s < kMapSources; s++) questions += ask_all(map, s, p, now, theirs, ours);
  EXPECT_LT(questions, 3u * 120u);
  EXPECT_GT(map.size(), 1'900u);
}

// Bits of another list than ours would be about others.
TEST_F(LivenessMapTest, AnAnswerAboutAnotherListOrRangeMarksNobody) {
  const RelaySet set = set_of(0, 100);
  std::set<uint64_t> all;
  for (uint64_t n = 0; n < 100; n++) all.insert(n);
  const auto bytes = after_probing(rng, now, all).answer(now, kAllIds, set);
  const MapAnswer right = *read_map_answer(bytes);
  const auto marked = [&](const IdRange& asked, const MapAnswer& a) {
    LivenessMap map;
    static_cast<void>(map.on_answer(0, asked, a, set.all()));
    return map.size();
  };
  EXPECT_EQ(marked(kAllIds, right), 100u);
  MapAnswer wrong = right;
  wrong.digest ^= 1;
  EXPECT_EQ(marked(kAllIds, wrong), 0u);
  wrong = right;
  wrong.count--;
  EXPECT_EQ(marked(kAllIds, wrong), 0u);
  const ShortId middle = set.all()[50]->short_id;
  EXPECT_EQ(marked({kAllIds.low, middle}, right), 0u) << "more than was asked";
  EXPECT_EQ(marked({middle, kAllIds.high}, right), 0u);
}

TEST_F(LivenessMapTest, WhoIsDeadIsProbedAgainAndBelievedDeadAsLong) {
  const RelaySet set = set_of(0, 400);
  const ShortId dead = entry(7)->short_id;
  LivenessProber p(rng);
  for (unsigned i = 0; i < kDeadAfter; i++) p.on_probed(now, dead, LivenessProber::Found::silent);
  size_t asked = 0, all = 0;
  for (const Mono end = now + std::chrono::hours(200); now < end; now = std::max(now + 1ms, p.next_deadline())) {
    const EntryPtr e = p.next(now, set);
    if (!e) continue;
    all++;
    asked += e->short_id == dead;
    p.on_probed(now, e->short_id, e->short_id == dead ? LivenessProber::Found::silent : LivenessProber::Found::alive);
    ASSERT_TRUE(p.is_dead(now, dead));
  }
  EXPECT_GT(asked, 150u) << "about once an hour";
  EXPECT_LT(asked, 230u);
  EXPECT_NEAR(static_cast<double>(all), 200 * 20, 100) << "and nobody is probed oftener for it";
  p.on_probed(now, dead, LivenessProber::Found::alive);
  EXPECT_FALSE(p.is_dead(now, dead));
}

TEST_F(LivenessMapTest, TwoLiarsOfThreeAreNotBelievedAloneNorThreeOfSix) {
  const RelaySet set = set_of(0, 100);
  std::set<uint64_t> all;
  for (uint64_t n = 0; n < 100; n++) all.insert(n);
  const LivenessProber honest = after_probing(rng, now, {1, 2}), denies = after_probing(rng, now, all), hides = after_probing(rng, now, {});
  const auto round = [&](std::initializer_list<const LivenessProber*> sources) {
    LivenessMap map;
    size_t s = 0;
    for (const LivenessProber* source : sources) ask_all(map, s++, *source, now, set, set);
    return map;
  };
  const std::set<ShortId> truth{entry(1)->short_id, entry(2)->short_id};
  const LivenessMap good = round({&honest, &honest, &honest}), one = round({&honest, &denies, &honest}), two = round({&denies, &denies, &honest}),
                    hidden = round({&honest, &hides, &honest}), three = round({&denies, &denies, &denies});
  EXPECT_EQ(believed({&good}), truth);
  EXPECT_EQ(believed({&one}), truth);
  EXPECT_EQ(believed({&two}), truth);
  EXPECT_TRUE(believed({&hidden}).empty());
  EXPECT_EQ(believed({&hidden, &hidden}), truth) << "four of six";
  EXPECT_EQ(believed({&two, &good}), truth);
  EXPECT_EQ(believed({&two, &one}), truth) << "three of six";
  EXPECT_EQ(believed({&three, &good, &good}), truth) << "all three sources once are believed only until the next are asked";
  EXPECT_EQ(believed({&three, &three, &good, &good, &good}), truth) << "three comparisons count";
  LivenessMap alone;
  ask_all(alone, 0, denies, now, set, set);
  EXPECT_TRUE(believed({&alone, &alone}).empty()) << "one source alone kills nobody";
}

TEST_F(LivenessMapTest, AnswersOfAnyBytesAreReadOrRefusedAndSplitsEnd) {
  const RelaySet set = set_of(0, 500);
  LivenessMap map;
  size_t questions = 0;
  std::vector<IdRange> todo{kAllIds};
  while (!todo.empty()) {
    const IdRange asked = todo.back();
    todo.pop_back();
    ASSERT_LT(++questions, 1'000u);
    std::vector<uint8_t> lie(28 + 10);
    rng.fill(lie);
    store_be64(lie.data(), asked.low.value);
    store_be64(&lie[8], asked.high.value);
    store_le32(&lie[16], 80);
    const auto a = read_map_answer(lie);
    ASSERT_TRUE(a);
    for (const IdRange& r : map.on_answer(0, asked, *a, set.all())) todo.push_back(r);
  }
  // One who always says that there is more.
  LivenessMap other;
  todo = {kAllIds};
  for (questions = 0; !todo.empty(); questions++) {
    ASSERT_LT(questions, 1'000u);
    const IdRange asked = todo.back();
    todo.pop_back();
    const std::vector<uint8_t> bits(1);
    for (const IdRange& r : other.on_answer(0, asked, {{asked.low, asked.low}, 1, 0, bits}, set.all())) todo.push_back(r);
  }
  for (int i = 0; i < 2'000; i++) {
    std::vector<uint8_t> bytes(rng.below(64));
    rng.fill(bytes);
    if (const auto a = read_map_answer(bytes); a.has_value()) {
      EXPECT_LE(a->count, a->bits.size() * 8);
    }
  }
  EXPECT_FALSE(read_map_answer({}));
  EXPECT_FALSE(read_map_ask({}));
}

}  // namespace
}  // namespace macrovpn::discovery
