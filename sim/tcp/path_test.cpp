// Whole connections over a pair of links.
#include "sim/tcp/path.h"

#include <gtest/gtest.h>

#include "core/routing/ip_reply.h"
#include "sim/tcp/exchange.h"

namespace macrovpn::sim {
namespace {

using Side = TcpPath::Side;
constexpr uint16_t kPort = 80;

// A server on the right, and one client's connection from the left.
struct Pair {
  explicit Pair(const LinkModel& model, const TcpConfig& config = {}, uint64_t seed = 1) : Pair(model, model, config, seed) {}
  Pair(const LinkModel& rightward, const LinkModel& leftward, const TcpConfig& config, uint64_t seed) : path(rightward, leftward, config, seed) {
    path.host(Side::right).listen(kPort, [this](const Endpoint&) { return std::make_unique<ExchangeServer>(totals); });
  }
  ~Pair() {
    for (const Side side : {Side::left, Side::right}) path.host(side).check_invariants();
  }

  void connect(uint16_t port = kPort) {
    auto content = std::make_unique<Shared>(client);
    id = *path.host(Side::left).connect(path.now(), path.address(Side::left), {path.address(Side::right), port}, std::move(content),
                                        path.sink(Side::left));
  }
  TcpEndpoint* tcp() { return path.host(Side::left).find(id); }
  void ask(uint64_t body, uint64_t answer) {
    client.ask(path.now(), *tcp(), body, answer);
    path.host(Side::left).flush(path.now(), id, path.sink(Side::left));
  }
  // How long it took; zero: it did not end.
  Duration exchange(uint64_t body, uint64_t answer, Duration at_most = 600s) {
    if (tcp() == nullptr) connect();
    const Mono began = path.now();
    ask(body, answer);
    if (!path.run_until([&] { return client.is_idle() || client.failure() != TcpFailure::none; }, at_most)) return Duration(0);
    return client.is_idle() ? path.now() - began : Duration(0);
  }

  // The client's content outlives its connection here, so that it can be looked at.
  struct Shared final : TcpContent {
    explicit Shared(ExchangeClient& c) : to(c) {}
    void fill(uint64_t offset, MutBytes out) override { to.fill(offset, out); }
    void show(uint64_t offset, Bytes came) override { to.show(offset, came); }
    void changed(Mono now, TcpEndpoint& tcp) override { to.changed(now, tcp); }
    ExchangeClient& to;
  };

  ExchangeTotals totals;
  ExchangeClient client{0xfeedface};
  TcpPath path;
  ConnectionId id;
};

TEST(Tcp, AConnectionAndAShortAnswerTakeTwoRoundTrips) {
  Pair pair({.latency = 50ms});
  EXPECT_EQ(pair.exchange(400, 2000), 200ms);
  EXPECT_EQ(pair.exchange(400, 2000), 100ms);  // the second on the same connection: one
  EXPECT_EQ(pair.totals.requests, 2u);
  EXPECT_EQ(pair.client.wrong(), 0u);
}

TEST(Tcp, SlowStartNeedsARoundTripForEachDoubling) {
  Pair pair({.latency = 50ms});
  // 10, 20 and 40 segments of 1460 bytes: the 70th arrives with the third window.
  EXPECT_EQ(pair.exchange(0, 10 * 1460), 200ms);
  Pair longer({.latency = 50ms});
  EXPECT_EQ(longer.exchange(0, 70 * 1460), 400ms);
}

TEST(Tcp, FillsTheLinkAndItsQueueAlone) {
  Pair pair({.latency = 20ms, .rate = megabits(20), .queue = bytes_in(megabits(20), 100ms)});
  const Duration took = pair.exchange(0, 50'000'000);
  ASSERT_NE(took, Duration(0));
  const int64_t share = 50'000'000 * 8 / (took / 1us) * 100 / 20;  // of the rate; headers take 2.7 of a hundred
  EXPECT_GE(share, 90);
  EXPECT_LE(share, 98);
  EXPECT_EQ(pair.client.wrong(), 0u);
}

TEST(Tcp, EveryByteArrivesOnceAndRightUnderEveryTrouble) {
  const LinkModel trouble{.latency = 20ms, .jitter = 5ms, .rate = megabits(30), .queue = 100'000, .loss = LossModel::bursts(20'000, 3),
                          .duplicated = 10'000, .reordered = 20'000, .reorder_by = 10ms};
  for (uint64_t seed = 1; seed <= 20; seed++)
    for (const auto control : {CongestionControl::reno, CongestionControl::cubic}) {
      TcpConfig config;
      config.sender.control = control;
      Pair pair(trouble, config, seed);
      ASSERT_NE(pair.exchange(300'000, 700'000), Duration(0)) << seed;
      EXPECT_EQ(pair.client.answered(), 700'000u);
      EXPECT_EQ(pair.client.wrong() + pair.totals.wrong, 0u);
      EXPECT_EQ(pair.totals.body_bytes, 300'000u);
    }
}

// Loses some of the data segments from the right, by their numbers, and counts all.
struct Losing {
  Losing(Pair& pair, const LinkModel& model, std::vector<uint64_t> lost) {
    pair.path.watch = [this, &pair, model = LinkModel(model), lost](Side from, Bytes packet) mutable {
      if (from != Side::right || packet.size() < 100) return;
      model.up = std::find(lost.begin(), lost.end(), ++data) == lost.end();
      pair.path.link_from(Side::right).set(model);
    };
  }
  uint64_t data = 0;
};

TEST(Tcp, ALossInTheMiddleCostsARoundTripAndNoTimeout) {
  const LinkModel model{.latency = 50ms};
  Pair pair(model);
  Losing losing(pair, model, {20});
  // 200 ms until the first ten, 100 ms for twenty more, and 100 ms for the one sent again: no timeout, which would take 300 ms.
  EXPECT_EQ(pair.exchange(0, 30 * 1460), 400ms);
  EXPECT_EQ(losing.data, 31u);
}

TEST(Tcp, ARetransmissionThatIsLostTooNeedsNoTimeoutEither) {
  const LinkModel model{.latency = 50ms};
  Pair pair(model);
  Losing losing(pair, model, {20, 31});  // the 31st is the 20th again
  const Duration took = pair.exchange(0, 60 * 1460);
  EXPECT_LE(took, 700ms);
  EXPECT_EQ(losing.data, 62u);
}

TEST(Tcp, ALossAtTheEndIsProbedBeforeATimeout) {
  const LinkModel model{.latency = 50ms};
  Pair pair(model);
  Losing losing(pair, model, {9, 10});
  // The last answer at 250 ms, two round trips of silence, the probe, and the other one: 602 ms.  By timeouts alone: 700 ms.
  const Duration took = pair.exchange(0, 10 * 1460);
  EXPECT_GE(took, 600ms);
  EXPECT_LE(took, 610ms);
  EXPECT_EQ(losing.data, 12u);
}

TEST(Tcp, SilenceEndsInTimeoutsThatDoubleAndThenInFailure) {
  Pair pair({.latency = 50ms});
  pair.exchange(0, 1000);
  pair.path.link_from(Side::left).set({.up = false});
  pair.ask(5000, 10);
  std::vector<Mono> sent;
  pair.path.watch = [&](Side from, Bytes packet) {
    if (from == Side::left && packet.size() > 1000) sent.push_back(pair.path.now());
  };
  EXPECT_TRUE(pair.path.run_until([&] { return pair.client.failure() != TcpFailure::none; }, 2000s));
  EXPECT_EQ(pair.client.failure(), TcpFailure::timed_out);
  ASSERT_GE(sent.size(), 10u);
  for (size_t i = 3; i < 7; i++) EXPECT_EQ(sent[i + 1] - sent[i], 2 * (sent[i] - sent[i - 1])) << i;
  EXPECT_EQ(pair.path.host(Side::left).connections(), 0u);
}

TEST(Tcp, GoesOnAfterAGapInTheLine) {
  Pair pair({.latency = 20ms, .rate = megabits(10), .queue = 100'000});
  pair.connect();
  pair.ask(0, 5'000'000);
  pair.path.run_until(pair.path.now() + 1s);
  for (const Side side : {Side::left, Side::right}) pair.path.link_from(side).set({.latency = 20ms, .up = false});
  pair.path.run_until(pair.path.now() + 3s);
  for (const Side side : {Side::left, Side::right})
    pair.path.link_from(side).set({.latency = 20ms, .rate = megabits(10), .queue = 100'000});
  EXPECT_TRUE(pair.path.run_until([&] { return pair.client.is_idle(); }, 12s));
  EXPECT_EQ(pair.client.wrong(), 0u);
}

TEST(Tcp, APortWhereNobodyListensRefuses) {
  Pair pair({.latency = 50ms});
  pair.connect(81);
  EXPECT_TRUE(pair.path.run_until([&] { return pair.client.failure() != TcpFailure::none; }, 1s));
  EXPECT_EQ(pair.client.failure(), TcpFailure::refused);
}

TEST(Tcp, GivesUpWhereNobodyAnswers) {
  Pair pair({.up = false});
  pair.connect();
  EXPECT_TRUE(pair.path.run_until([&] { return pair.client.failure() != TcpFailure::none; }, 200s));
  EXPECT_EQ(pair.client.failure(), TcpFailure::timed_out);
  EXPECT_EQ(pair.path.packets(), 6u);
}

TEST(Tcp, BothEndsForgetAConnectionThatEnded) {
  Pair pair({.latency = 50ms});
  pair.client.end_after_last();
  EXPECT_NE(pair.exchange(100, 100), Duration(0));
  EXPECT_EQ(pair.path.host(Side::left).connections(), 1u);
  pair.path.run_until(pair.path.now() + 60s);
  EXPECT_EQ(pair.path.host(Side::left).connections(), 0u);
  EXPECT_EQ(pair.path.host(Side::right).connections(), 0u);
  EXPECT_EQ(pair.client.failure(), TcpFailure::none);
}

TEST(Tcp, EndsEvenIfEveryFourthPacketIsLost) {
  for (uint64_t seed = 1; seed <= 30; seed++) {
    Pair pair({.latency = 10ms, .loss = LossModel::independent(250'000)}, {}, seed);
    pair.client.end_after_last();
    ASSERT_NE(pair.exchange(5000, 50'000), Duration(0)) << seed;
    pair.path.run_until(pair.path.now() + 600s);
    EXPECT_EQ(pair.client.failure(), TcpFailure::none);
    EXPECT_EQ(pair.path.host(Side::right).connections(), 0u);
  }
}

TEST(Tcp, AnAbortResetsTheOtherSide) {
  Pair pair({.latency = 50ms});
  pair.exchange(100, 100);
  pair.path.host(Side::left).abort(pair.path.now(), pair.id, pair.path.sink(Side::left));
  pair.path.run_until(pair.path.now() + 1s);
  EXPECT_EQ(pair.path.host(Side::right).connections(), 0u);
  EXPECT_EQ(pair.path.host(Side::left).connections(), 0u);
}

TEST(Tcp, AMssThatWasLoweredOnTheWayHolds) {
  Pair pair({.latency = 5ms, .mtu = 1300});
  // As an exit does with a SYN.
  size_t largest = 0;
  struct Clamping final : PacketSink {
    explicit Clamping(PacketSink& s) : to(s) {}
    void send(Bytes packet) override {
      std::vector<uint8_t> copy(packet.begin(), packet.end());
      const auto header = routing::parse_ip(copy);
      routing::clamp_mss(copy, *header, 1300);
      to.send(copy);
    }
    PacketSink& to;
  } clamping(pair.path.sink(Side::left));
  pair.path.watch = [&](Side from, Bytes packet) { largest = from == Side::right ? std::max(largest, packet.size()) : largest; };
  pair.id = *pair.path.host(Side::left).connect(pair.path.now(), pair.path.address(Side::left), {pair.path.address(Side::right), kPort},
                                                std::make_unique<Pair::Shared>(pair.client), clamping);
  EXPECT_NE(pair.exchange(0, 100'000), Duration(0));
  EXPECT_EQ(largest, 1300u);
}

TEST(Tcp, AWayThatBecomesNarrowIsFollowedWhenIcmpSaysSo) {
  Pair pair({.latency = 10ms});
  pair.exchange(0, 1000);
  PacketPool pool;
  std::vector<std::vector<uint8_t>> errors;
  size_t too_big = 0;
  pair.path.link_from(Side::left).set({.latency = 10ms, .mtu = 1000});
  pair.path.watch = [&](Side from, Bytes packet) {
    if (from != Side::left || packet.size() <= 1000) return;
    too_big++;
    Packet error = pool.take();
    ASSERT_TRUE(routing::make_too_big(packet, *routing::parse_ip(packet), 1000, *IpAddress::parse("198.18.0.254"), error));
    errors.emplace_back(error.bytes().begin(), error.bytes().end());
  };
  pair.ask(100'000, 10);
  ASSERT_FALSE(errors.empty());
  const auto first = errors;
  for (const auto& error : first) pair.path.host(Side::left).on_packet(pair.path.now(), error, pair.path.sink(Side::left));
  EXPECT_TRUE(pair.path.run_until([&] { return pair.client.is_idle(); }, 5s));
  EXPECT_EQ(too_big, first.size());  // none after it was told
  EXPECT_EQ(pair.totals.wrong, 0u);
}

TEST(Tcp, SpeaksIpv6) {
  Pair pair({.latency = 5ms});
  size_t v6 = 0;
  pair.path.watch = [&](Side, Bytes packet) { v6 += packet[0] >> 4 == 6 ? 1 : 0; };
  pair.id = *pair.path.host(Side::left).connect(pair.path.now(), *IpAddress::parse("3fff:1::1"), {*IpAddress::parse("3fff:2::1"), kPort},
                                                std::make_unique<Pair::Shared>(pair.client), pair.path.sink(Side::left));
  EXPECT_NE(pair.exchange(10'000, 100'000), Duration(0));
  EXPECT_EQ(v6, pair.path.packets());
}

TEST(Tcp, TheSameSeedSendsTheSamePackets) {
  const auto trace = [](uint64_t seed) {
    Pair pair({.latency = 20ms, .jitter = 3ms, .rate = megabits(20), .queue = 60'000, .loss = LossModel::independent(10'000)}, {}, seed);
    uint64_t hash = 0;
    pair.path.watch = [&](Side, Bytes packet) {
      hash = (hash ^ static_cast<uint64_t>(pair.path.now().time_since_epoch().count())) * 0x100000001b3;
      for (const uint8_t b : packet) hash = (hash ^ b) * 0x100000001b3;
    };
    pair.exchange(10'000, 3'000'000);
    return hash;
  };
  EXPECT_EQ(trace(5), trace(5));
  EXPECT_NE(trace(5), trace(6));
  // Whatever the compiler and the machine.
  EXPECT_EQ(trace(5), 11937722340836807090u);
}

TEST(TcpHost, HasAsManyConnectionsAsItSaysAndRefusesMore) {
  Pair pair({.latency = 1ms});
  for (size_t i = 0; i < TcpHost::kMostConnections; i++) pair.connect();
  EXPECT_FALSE(pair.path.host(Side::left).connect(pair.path.now(), pair.path.address(Side::left), {pair.path.address(Side::right), kPort},
                                                  std::make_unique<Pair::Shared>(pair.client), pair.path.sink(Side::left)));
  EXPECT_EQ(pair.path.host(Side::left).counters().full, 1u);
}

}  // namespace
}  // namespace macrovpn::sim
