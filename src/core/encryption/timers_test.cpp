#include "core/encryption/timers.h"

#include <gtest/gtest.h>

#include "core/encryption/peer.h"

namespace macrovpn::encryption {
namespace {

const Mono t0{std::chrono::hours(2)};

TEST(StockTimers, SendAnotherKeepaliveForDataThatCameWhileOneWasDue) {
  SeededRng rng(1);
  StockTimers t(Duration::zero());
  t.on_received(t0, Payload::data);
  EXPECT_EQ(t.next(), t0 + 10s);
  t.on_received(t0 + 5s, Payload::data);
  EXPECT_EQ(t.due(t0 + 10s), TimerAction::keepalive);
  t.on_sent(t0 + 10s, Payload::keepalive, rng);
  EXPECT_EQ(t.next(), t0 + 20s);
  EXPECT_EQ(t.due(t0 + 20s), TimerAction::keepalive);
  t.on_sent(t0 + 20s, Payload::keepalive, rng);
  EXPECT_EQ(t.next(), kNever);
}

TEST(StockTimers, ASentPacketMakesTheKeepaliveNeedless) {
  SeededRng rng(1);
  StockTimers t(Duration::zero());
  t.on_received(t0, Payload::data);
  t.on_sent(t0 + 1s, Payload::keepalive, rng);
  EXPECT_EQ(t.next(), kNever);
}

TEST(StockTimers, AKeepaliveReceivedIsNotAnsweredButCalmsTheNewHandshake) {
  SeededRng rng(1);
  StockTimers t(Duration::zero());
  t.on_sent(t0, Payload::data, rng);
  EXPECT_GE(t.next(), t0 + 15s);
  EXPECT_LE(t.next(), t0 + 15s + 333ms);
  t.on_received(t0 + 1s, Payload::keepalive);
  EXPECT_EQ(t.next(), kNever);
}

TEST(StockTimers, GiveUpAfterNinetySecondsOfAttempts) {
  SeededRng rng(1);
  StockTimers t(Duration::zero());
  t.restart_attempts(t0);
  t.on_initiation_sent(t0, rng);
  EXPECT_FALSE(t.may_initiate(t0 + 4999ms));
  EXPECT_TRUE(t.may_initiate(t0 + 5s));
  EXPECT_EQ(t.due(t0 + 6s), TimerAction::retry_handshake);
  t.on_initiation_sent(t0 + 85s, rng);
  EXPECT_EQ(t.due(t0 + 91s), TimerAction::give_up);
  EXPECT_EQ(t.next(), t0 + 91s + kZeroKeysAfter);  // what is left of the keys goes then
}

TEST(HopTimers, RekeyOnlyIfDataWasSent) {
  SeededRng rng(1);
  HopTimers t;
  t.on_session(t0, rng);
  EXPECT_GE(t.next(), t0 + 90s);
  EXPECT_LE(t.next(), t0 + 120s);
  EXPECT_EQ(t.due(t0 + 120s), TimerAction::none);
  EXPECT_TRUE(t.on_data_sent(t0 + 130s));
  t.on_session(t0 + 131s, rng);
  EXPECT_FALSE(t.on_data_sent(t0 + 132s));
  EXPECT_EQ(t.due(t0 + 251s), TimerAction::new_handshake);
}

TEST(HopTimers, DrawTheirRekeyTimesApart) {
  SeededRng rng(1);
  std::set<Mono> times;
  for (int i = 0; i < 50; i++) {
    HopTimers t;
    t.on_session(t0, rng);
    times.insert(t.next());
  }
  EXPECT_EQ(times.size(), 50u);
  EXPECT_LT(*times.begin(), t0 + 97s);
  EXPECT_GT(*times.rbegin(), t0 + 113s);
}

TEST(Tai64n, CountsFrom1970AndHidesTheExactTime) {
  // 2^62 + 10 + 1 second; nanoseconds down to a multiple of 2^24
  EXPECT_EQ(to_hex(tai64n_of(wall_from_unix(1), {})), "400000000000000b00000000");
  EXPECT_EQ(to_hex(tai64n_of(wall_from_unix(1) + 20ms, {})), "400000000000000b01000000");
}

TEST(Tai64n, GrowsWhateverTheCalendarDoes) {
  Tai64n last{};
  Wall w = wall_from_unix(1'700'000'000);
  SeededRng rng(4);
  for (int i = 0; i < 1000; i++) {
    w += Duration(static_cast<int64_t>(rng.below(200'000'000)) - 150'000'000);
    const Tai64n next = tai64n_of(w, last);
    ASSERT_GT(next, last);
    ASSERT_LT(load_be32(next.data() + 8), 1'000'000'000u);
    last = next;
  }
}

// "< 2 KiB per relayed circuit": the peer, two sessions, their windows.
TEST(Peer, IsSmallEnoughForThousandsOfCircuits) {
  const size_t window = ReplayWindow::kEagerSmall / 8;
  EXPECT_LE(sizeof(Peer) + 2 * (sizeof(Session) + window), 1280u);
}

}  // namespace
}  // namespace macrovpn::encryption
