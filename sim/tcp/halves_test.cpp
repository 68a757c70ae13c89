// Each half of a connection alone, under random and hostile input.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "sim/tcp/endpoint.h"

namespace macrovpn::sim {
namespace {

constexpr Mono kStart{1s};

// Remembers every byte on its own.
TEST(Receiver, AgreesWithANaiveTwinThatRemembersEveryByte) {
  SeededRng random(3);
  for (int round = 0; round < 200; round++) {
    Receiver receiver({.window = 1000});
    std::vector<bool> came(4000, false);
    uint64_t in_order = 0;
    Mono now = kStart;
    for (int i = 0; i < 200; i++) {
      const uint64_t begin = in_order + random.below(300) - std::min<uint64_t>(in_order, random.below(60)), end = begin + 1 + random.below(50);
      if (end >= came.size()) break;
      const bool fits = end <= in_order + 1000;
      const bool is_new = fits && std::find(came.begin() + static_cast<ptrdiff_t>(begin), came.begin() + static_cast<ptrdiff_t>(end), false) !=
                                      came.begin() + static_cast<ptrdiff_t>(end);
      EXPECT_EQ(receiver.on_range(now, begin, end) == Receiver::Taken::taken, is_new) << begin << " " << end;
      if (fits) std::fill(came.begin() + static_cast<ptrdiff_t>(begin), came.begin() + static_cast<ptrdiff_t>(end), true);
      while (came[in_order]) in_order++;
      ASSERT_EQ(receiver.in_order(), in_order);
      receiver.check_invariants();
      std::array<ByteRange, kMostSacks> sacks;
      const size_t count = receiver.sacks(sacks);
      for (size_t k = 0; k < count; k++) {
        EXPECT_TRUE(!came[sacks[k].begin - 1] && !came[sacks[k].end]);
        for (uint64_t b = sacks[k].begin; b < sacks[k].end; b++) EXPECT_TRUE(came[b]);
        if (k == 0 && begin > in_order) {
          EXPECT_TRUE(sacks[0].begin <= begin && end <= sacks[0].end);  // RFC 2018 §4
        }
      }
      now += 1ms;
    }
  }
}

TEST(Receiver, RemembersSoManyGapsAndNoMore) {
  Receiver receiver({.window = 1u << 20});
  for (uint64_t i = 1; i <= Receiver::kMostRanges + 10; i++) receiver.on_range(kStart, i * 10, i * 10 + 5);
  receiver.check_invariants();
  EXPECT_EQ(receiver.counters().too_many_gaps, 10u);
}

TEST(Receiver, AnswersEverySecondSegmentAndTheOthersAfterAWhile) {
  Receiver receiver({.delayed_ack = 40ms, .quick_acks = 0});
  receiver.on_range(kStart, 0, 100);
  EXPECT_FALSE(receiver.wants_ack(kStart + 39ms));
  EXPECT_EQ(receiver.next_deadline(), kStart + 40ms);
  EXPECT_TRUE(receiver.wants_ack(kStart + 40ms));
  receiver.on_range(kStart + 1ms, 100, 200);
  EXPECT_TRUE(receiver.wants_ack(kStart + 1ms));
  receiver.on_ack_sent();
  EXPECT_FALSE(receiver.wants_ack(kStart + 1h));
  receiver.on_range(kStart + 2ms, 300, 400);  // out of order
  EXPECT_TRUE(receiver.wants_ack(kStart + 2ms));
}

// A peer that acknowledges whatever it likes, true or not, cannot bring the sender's books out of order.
TEST(Sender, KeepsItsBooksWhateverIsAcknowledged) {
  SeededRng random(4);
  for (int round = 0; round < 300; round++) {
    Sender sender({.control = round % 2 == 0 ? CongestionControl::reno : CongestionControl::cubic}, 1000);
    sender.write(500'000);
    if (round % 3 == 0) sender.finish();
    sender.set_limit(1u << 30);
    Mono now = kStart;
    uint64_t sent = 0;
    for (int i = 0; i < 200 && !sender.has_failed(); i++) {
      now += random.between(1ms, 120ms);
      while (const auto piece = sender.next(now)) {
        EXPECT_LE(piece->end - piece->begin, 1001u);  // a FIN is one more
        sent = std::max(sent, piece->end);
      }
      if (now >= sender.next_deadline()) sender.on_deadline(now);
      std::array<ByteRange, kMostSacks> sacks;
      for (ByteRange& s : sacks) {
        s.begin = sender.acknowledged() + random.below(60'000);
        s.end = s.begin + random.below(9'000);
      }
      sender.on_ack(now, sender.acknowledged() + (random.below(3) == 0 ? random.below(5'000) : 0), std::span(sacks).first(random.below(5)));
      if (random.below(50) == 0) sender.set_mss(static_cast<uint32_t>(500 + random.below(500)));
      sender.check_invariants();
      EXPECT_LE(sender.acknowledged(), sent);
      EXPECT_GE(sender.congestion().window(), 1u);
    }
  }
}

TEST(Sender, SendsNothingBeyondTheWindowOfItsPeer) {
  Sender sender({}, 1000);
  sender.write(100'000);
  sender.set_limit(2500);
  EXPECT_EQ(sender.next(kStart), (ByteRange{0, 1000}));
  EXPECT_EQ(sender.next(kStart), (ByteRange{1000, 2000}));
  EXPECT_EQ(sender.next(kStart), std::nullopt);
  sender.set_limit(3000);
  EXPECT_EQ(sender.next(kStart), (ByteRange{2000, 3000}));
}

TEST(Sender, AfterARestItBeginsWithTheInitialWindow) {
  Sender sender({.initial_window = 10}, 1000);
  sender.set_limit(1u << 30);
  Mono now = kStart;
  const auto burst = [&] {
    uint32_t pieces = 0;
    while (sender.next(now)) pieces++;
    return pieces;
  };
  sender.write(1'000'000);
  for (uint64_t acknowledged = 0; acknowledged < 1'000'000; acknowledged = sender.sent()) {
    burst();
    now += 50ms;
    sender.on_ack(now, sender.sent(), {});
  }
  EXPECT_GT(sender.congestion().window(), 300u);
  now += 60s;
  sender.write(1'000'000);
  EXPECT_EQ(burst(), 10u);
}

TEST(Pattern, IsTheSameInPiecesAndAsAWhole) {
  std::vector<uint8_t> whole(100), part(100);
  fill_pattern(7, 3, whole);
  for (size_t from = 0; from < 30; from++)
    for (size_t size = 0; size < 40; size++) {
      fill_pattern(7, 3 + from, MutBytes(part).first(size));
      EXPECT_TRUE(equal(Bytes(part).first(size), Bytes(whole).subspan(from, size))) << from << " " << size;
      EXPECT_EQ(wrong_bytes(7, 3 + from, Bytes(whole).subspan(from, size)), 0u);
    }
  for (size_t i = 0; i < whole.size(); i++) {
    whole[i] ^= 4;
    EXPECT_EQ(wrong_bytes(7, 3, whole), 1u);
    whole[i] ^= 4;
  }
  EXPECT_GT(wrong_bytes(8, 3, whole), 90u);
}

}  // namespace
}  // namespace macrovpn::sim
