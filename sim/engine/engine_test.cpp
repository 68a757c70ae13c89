#include <gtest/gtest.h>

#include <set>

#include "sim/engine/memory_meter.h"
#include "sim/engine/streams.h"
#include "sim/engine/trace_hash.h"

namespace macrovpn::sim {
namespace {

TEST(Streams, AreIndependentByNameNumberAndSeed) {
  const Streams s(1), t(2);
  std::set<uint64_t> first;
  for (SeededRng rng : {s.of("link"), s.of("node"), s.of("link", 0), s.of("link", 1), t.of("link"), t.of("link", 0)}) {
    first.insert(rng.u64());
  }
  EXPECT_EQ(first.size(), 6u);
  SeededRng a = s.of("link", 3), b = s.of("link", 3);
  EXPECT_EQ(a.u64(), b.u64());
}

TEST(TraceHash, TellsOrderAndContents) {
  TraceHash a, b, c;
  a.add(1), a.add(2);
  b.add(2), b.add(1);
  c.add(1);
  EXPECT_NE(a.value(), b.value());
  EXPECT_NE(a.value(), c.value());
  std::set<uint64_t> digests;
  std::vector<uint8_t> zeros;
  for (int i = 0; i < 100; i++, zeros.push_back(0)) digests.insert(digest_of(zeros));
  EXPECT_EQ(digests.size(), 100u);
}

// The same numbers in every build and on every day: recorded once.
TEST(TraceHash, IsTheSameEverywhere) {
  TraceHash h;
  for (uint64_t i = 0; i < 1000; i++) h.add(i * i);
  EXPECT_EQ(h.value(), 1182375646902884947u);
  EXPECT_EQ(digest_of(as_bytes("every byte that was sent, in order")), 13549414574729347992u);
}

TEST(MemoryMeter, SeesWhatIsHeld) {
  if (!memory_is_metered()) GTEST_SKIP() << "a sanitizer has the allocator";
  const int64_t before = bytes_held();
  auto held = std::make_unique<std::array<uint8_t, 100'000>>();
  EXPECT_GE(bytes_held() - before, 100'000);
  held.reset();
  EXPECT_EQ(bytes_held(), before);
}

}  // namespace
}  // namespace macrovpn::sim
