#include "wire.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace netlab {
namespace {

using std::chrono::milliseconds;

const Instant kStart{std::chrono::hours(1)};
const std::vector<std::uint8_t> kFrame(1000, 6);  // first byte even: to one receiver
const std::vector<std::uint8_t> kGroupFrame(100, 7);

Wire wire_with(std::initializer_list<const char*> words, std::uint64_t seed = 1) {
  Wire wire(seed);
  for (const char* word : words) EXPECT_EQ(wire.set(word), std::nullopt) << word;
  return wire;
}

TEST(Wire, DeliversAFrameWhenItsDelayHasPassedAndNotBefore) {
  Wire wire = wire_with({"delay_us=20000"});
  wire.accept(kFrame, kStart);
  EXPECT_FALSE(wire.due(kStart + milliseconds(20) - Nanoseconds(1)));
  ASSERT_TRUE(wire.due(kStart + milliseconds(20)));
  EXPECT_EQ(wire.due(kStart + milliseconds(20))->size(), kFrame.size());
}

TEST(Wire, KeepsTheOrderOfFramesWhateverTheJitter) {
  Wire wire = wire_with({"delay_us=10000", "jitter_us=10000"});
  for (std::uint8_t i = 0; i < 200; ++i) wire.accept(std::array{i}, kStart + Nanoseconds(i));
  for (std::uint8_t i = 0; i < 200; ++i) {
    const auto frame = wire.due(kStart + milliseconds(21));
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->front(), i);
    wire.pop(1);
  }
}

TEST(Wire, SendsAtItsRate) {
  Wire wire = wire_with({"rate_kbit=8000"});  // a frame of 1000 bytes each millisecond
  for (int i = 0; i < 10; ++i) wire.accept(kFrame, kStart);
  EXPECT_TRUE(wire.due(kStart + milliseconds(10), 9));
  EXPECT_FALSE(wire.due(kStart + milliseconds(10) - Nanoseconds(1), 9));
}

TEST(Wire, DropsWhatWouldWaitLongerThanItsQueue) {
  Wire wire = wire_with({"rate_kbit=8000", "queue_us=5000"});
  for (int i = 0; i < 10; ++i) wire.accept(kFrame, kStart);
  EXPECT_EQ(wire.counts().queue_full, 4U);  // six start within 0 to 5 ms
}

TEST(Wire, HoldsNoMoreBytesThanItsBound) {
  Wire wire = wire_with({"delay_us=1000000"});
  const std::size_t fit = Wire::kMostBytesInFlight / kFrame.size();
  for (std::size_t i = 0; i < fit + 3; ++i) wire.accept(kFrame, kStart);
  EXPECT_EQ(wire.counts().queue_full, 3U);
}

enum class Chatter { kNone, kSome };

std::vector<bool> losses(std::uint64_t seed, Chatter chatter = Chatter::kNone) {
  Wire wire = wire_with({"loss_ppm=100000"}, seed);
  std::vector<bool> lost;
  for (int i = 0; i < 10'000; ++i) {
    if (chatter == Chatter::kSome && i % 7 == 0) wire.accept(kGroupFrame, kStart);
    while (wire.next_due()) wire.pop(1);
    const auto before = wire.counts().lost;
    wire.accept(kFrame, kStart);
    lost.push_back(wire.counts().lost != before);
  }
  return lost;
}

TEST(Wire, LosesTheSameFramesForTheSameSeed) {
  EXPECT_EQ(losses(1), losses(1));
  EXPECT_NE(losses(1), losses(2));
}

TEST(Wire, LosesTheSameFramesWhateverMulticastIsAmongThem) {
  EXPECT_EQ(losses(1), losses(1, Chatter::kSome));
}

TEST(Wire, LosesTheShareThatItWasAskedFor) {
  const auto lost = losses(3);
  EXPECT_NEAR(static_cast<double>(std::count(lost.begin(), lost.end(), true)), 1000, 100);
}

TEST(Wire, RefusesWordsThatItDoesNotKnow) {
  Wire wire(1);
  EXPECT_TRUE(wire.set("delay"));
  EXPECT_TRUE(wire.set("delay_us=soon"));
  EXPECT_TRUE(wire.set("delay_us=5ms"));
  EXPECT_TRUE(wire.set("colour=5"));
}

}  // namespace
}  // namespace netlab
