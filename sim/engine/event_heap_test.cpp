#include "sim/engine/event_heap.h"

#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"

namespace macrovpn::sim {
namespace {

TEST(EventHeap, GivesWhatIsDueAtOnceInTheOrderInWhichItWasScheduled) {
  EventHeap h;
  std::vector<EventId> ids;
  for (uint32_t i = 0; i < 100; i++) ids.push_back(h.add({1, i}));
  for (uint32_t i = 100; i-- > 0;) h.schedule(ids[i], Mono(5s));
  for (uint32_t i = 100; i-- > 0;) EXPECT_EQ(h.pop().subject.number, i);
  EXPECT_TRUE(h.empty());
}

TEST(EventHeap, KeepsAThingOnceWhateverItsTimeBecomes) {
  EventHeap h;
  const EventId a = h.add({1, 1}), b = h.add({1, 2});
  h.schedule(a, Mono(1s));
  h.schedule(b, Mono(2s));
  h.schedule(a, Mono(3s));
  EXPECT_EQ(h.scheduled(), 2u);
  EXPECT_EQ(h.pop().subject.number, 2u);
  h.schedule(a, kNever);
  EXPECT_TRUE(h.empty());
  EXPECT_EQ(h.next(), kNever);
}

// A naive twin: an ordered map of (time, sequence).
TEST(EventHeap, AgreesWithAMapUnderRandomOperations) {
  SeededRng rng(7);
  EventHeap h;
  std::map<std::pair<Mono, uint64_t>, uint32_t> twin;
  std::map<uint32_t, std::pair<Mono, uint64_t>> where;
  std::vector<EventId> ids;
  for (uint32_t i = 0; i < 200; i++) ids.push_back(h.add({1, i}));
  uint64_t sequence = 0;
  for (int step = 0; step < 20'000; step++) {
    const auto who = static_cast<uint32_t>(rng.below(ids.size()));
    if (rng.below(3) == 0 && !twin.empty()) {
      const auto due = h.pop();
      ASSERT_EQ(due.subject.number, twin.begin()->second);
      ASSERT_EQ(due.at, twin.begin()->first.first);
      where.erase(due.subject.number);
      twin.erase(twin.begin());
      continue;
    }
    const Mono at = rng.below(8) == 0 ? kNever : Mono(Duration(rng.below(50)));
    h.schedule(ids[who], at);
    const auto old = where.find(who);
    if (old != where.end()) {
      if (old->second.first == at) continue;
      twin.erase(old->second);
      where.erase(old);
    }
    sequence++;
    if (at == kNever) continue;
    where[who] = {at, sequence};
    twin[{at, sequence}] = who;
    if (step % 100 == 0) h.check_invariants();
  }
  EXPECT_EQ(h.scheduled(), twin.size());
}

}  // namespace
}  // namespace macrovpn::sim
