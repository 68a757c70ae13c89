#include "shell/workers/ring.h"

#include <gtest/gtest.h>

#include <deque>
#include <thread>

#include "base/rng.h"
#include "shell/bell.h"

namespace macrovpn::shell {
namespace {

using Record = std::vector<uint8_t>;

Record record(SeededRng& rng, size_t most) {
  Record r(rng.below(most + 1));
  rng.fill(r);
  return r;
}

TEST(Ring, GivesBackWhatWasPutInLikeAQueue) {
  SeededRng rng(1);
  Ring ring(1024);
  std::deque<Record> twin;
  size_t refused = 0, longest = 0;
  for (int i = 0; i < 100'000; i++) {
    if (rng.below(2) == 0) {
      const Record head = record(rng, 20), body = record(rng, 200);
      if (!ring.push(head, body)) {
        refused++;
        EXPECT_GT(twin.size(), 0u);
        continue;
      }
      Record whole = head;
      whole.insert(whole.end(), body.begin(), body.end());
      twin.push_back(whole);
      longest = std::max(longest, twin.size());
    } else {
      const auto front = ring.front();
      ASSERT_EQ(front.has_value(), !twin.empty());
      if (!front) continue;
      ASSERT_EQ(Record(front->begin(), front->end()), twin.front());
      ring.pop();
      twin.pop_front();
    }
  }
  EXPECT_GT(refused, 100u);
  EXPECT_GT(longest, 3u);
}

TEST(Ring, RefusesWhatFindsNoRoomAndTakesItOnceThereIsSome) {
  Ring ring(1024);
  const Record r(60);  // 64 with its size
  for (int i = 0; i < 16; i++) EXPECT_TRUE(ring.push(r, {}));
  EXPECT_FALSE(ring.push(r, {}));
  ASSERT_TRUE(ring.front());
  ring.pop();
  EXPECT_TRUE(ring.push(r, {}));
  EXPECT_FALSE(ring.push(r, {}));
}

TEST(Ring, KeepsHalfForWhatMatters) {
  Ring ring(1024);
  const Record r(60);
  for (int i = 0; i < 8; i++) EXPECT_TRUE(ring.push(r, {}, Ring::Room::half));
  EXPECT_FALSE(ring.push(r, {}, Ring::Room::half));
  for (int i = 0; i < 8; i++) EXPECT_TRUE(ring.push(r, {}));
  EXPECT_FALSE(ring.push(r, {}));
}

TEST(Ring, CarriesRecordsBetweenThreadsInOrderAndWhole) {
  constexpr uint32_t kCount = 200'000;
  Ring ring(1 << 14);
  std::thread producer([&] {
    for (uint32_t i = 0; i < kCount;) {
      uint8_t head[4];
      store_le32(head, i);
      const Record body(i % 300, static_cast<uint8_t>(i));
      if (ring.push(head, body)) i++;
    }
  });
  for (uint32_t i = 0; i < kCount;) {
    const auto r = ring.front();
    if (!r) continue;
    ASSERT_EQ(r->size(), 4 + i % 300);
    ASSERT_EQ(load_le32(r->data()), i);
    ASSERT_TRUE(r->size() == 4 || r->back() == static_cast<uint8_t>(i));
    ring.pop();
    i++;
  }
  producer.join();
}

TEST(Bell, HearsWhoRingsDuringTheWork) {
  Bell bell;
  Reactor reactor;
  int heard = 0;
  bell.hang_in(reactor, [&] {
    if (++heard == 1) bell.ring();
  });
  bell.ring();
  bell.ring();
  for (int i = 0; i < 3; i++) reactor.run_once(Duration::zero());
  bell.take_from(reactor);
  EXPECT_EQ(heard, 2);
}

TEST(Bell, WakesTheOtherThreadForEverythingThatWasPutIn) {
  constexpr uint32_t kCount = 20'000;
  Ring ring(1 << 12);
  Bell bell;
  Reactor reactor;
  uint32_t got = 0;
  bell.hang_in(reactor, [&] {
    while (ring.front()) ring.pop(), got++;
    if (got == kCount) reactor.stop();
  });
  std::thread producer([&] {
    for (uint32_t i = 0; i < kCount;) {
      if (ring.push(Record(8), {})) i++;
      bell.ring();
    }
  });
  reactor.run();  // for ever if a ring of the bell is missed
  producer.join();
  bell.take_from(reactor);
  EXPECT_EQ(got, kCount);
}

}  // namespace
}  // namespace macrovpn::shell
