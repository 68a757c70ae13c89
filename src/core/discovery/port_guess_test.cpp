// A hard side and an easy side, each behind its NAT, on a virtual clock.
#include "core/discovery/port_guess.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

namespace macrovpn::discovery {
namespace {

using Kind = PunchMessage::Kind;
using State = PortGuess::State;

const Endpoint kEasy = *Endpoint::parse("203.0.113.1:51820"), kHard = *Endpoint::parse("203.0.113.2:29999");
constexpr Mono kStart{1000s};

struct Pair {
  explicit Pair(uint64_t seed, size_t sockets = kGuessSockets)
      : rng(seed), hard(kStart, GuessSide::hard, kEasy, sockets, rng), easy(kStart, GuessSide::easy, kHard, 0, rng) {}
  struct Flight {
    bool to_hard;
    uint16_t port;  // outside, of the hard side
    Kind kind;
  };
  void send(Mono now, bool from_hard, size_t socket, const Endpoint& to, Kind kind) {
    if (from_hard) {
      EXPECT_EQ(to, kEasy);
      if (!port_of.contains(socket)) {
        uint16_t p = 0;
        while (p == 0 || socket_of.contains(p)) p = static_cast<uint16_t>(1024 + rng.below(64'512));
        port_of[socket] = p;
        socket_of[p] = socket;
      }
      from_hard_sent++;
      wire.emplace(now + 30ms, Flight{false, port_of[socket], kind});
    } else {
      EXPECT_EQ(to.address, kHard.address);
      probed.insert(to.port);
      from_easy_sent++;
      wire.emplace(now + 30ms, Flight{true, to.port, kind});
    }
  }
  void run(Duration most = kGuessTime + 1s, const std::function<bool()>& lost = [] { return false; }) {
    for (Mono now = kStart; now < kStart + most; now += 1ms) {
      for (const auto& s : hard.on_deadline(now)) send(now, true, s.socket, s.to, s.kind);
      for (const auto& s : easy.on_deadline(now)) send(now, false, 0, s.to, s.kind);
      while (!wire.empty() && wire.begin()->first <= now) {
        const Flight f = wire.extract(wire.begin()).mapped();
        if (lost()) continue;
        if (f.to_hard) {
          const auto s = socket_of.find(f.port);
          if (s != socket_of.end() && hard.on_message(now, s->second, kEasy, f.kind)) send(now, true, s->second, kEasy, Kind::answer);
        } else if (probed.contains(f.port)) {
          const Endpoint from{kHard.address, f.port};
          if (easy.on_message(now, 0, from, f.kind)) send(now, false, 0, from, Kind::answer);
        }
      }
      if (hard.state() == State::through && easy.state() == State::through && both_at == kNever) both_at = now;
    }
  }
  SeededRng rng;
  PortGuess hard, easy;
  std::map<size_t, uint16_t> port_of;
  std::map<uint16_t, size_t> socket_of;
  std::set<uint16_t> probed;
  std::multimap<Mono, Flight> wire;
  Mono both_at = kNever;
  size_t from_hard_sent = 0, from_easy_sent = 0;
};

TEST(PortGuess, FindsASocketSoonAndBothMeanTheSame) {
  std::vector<Duration> took;
  for (uint64_t seed = 0; seed < 300; seed++) {
    Pair p(seed);
    p.run();
    if (p.both_at == kNever) continue;
    took.push_back(p.both_at - kStart);
    EXPECT_EQ(p.easy.path().port, p.port_of.at(p.hard.socket())) << seed;
    EXPECT_EQ(p.hard.path(), kEasy);
  }
  EXPECT_GE(took.size(), 297u) << "of 300";
  std::sort(took.begin(), took.end());
  EXPECT_LT(took[took.size() / 2], 1500ms);
}

TEST(PortGuess, LivesWithLosses) {
  size_t met = 0;
  for (uint64_t seed = 0; seed < 100; seed++) {
    Pair p(seed);
    p.run(kGuessTime + 1s, [&] { return p.rng.below(10) == 0; });
    met += p.both_at != kNever && p.easy.path().port == p.port_of.at(p.hard.socket());
  }
  EXPECT_GE(met, 97u) << "of 100, at 10 % loss";
}

TEST(PortGuess, FewerSocketsAreFoundLessOften) {
  size_t met = 0;
  for (uint64_t seed = 0; seed < 100; seed++) {
    Pair p(seed, kFewestGuessSockets);
    p.run();
    met += p.both_at != kNever;
  }
  EXPECT_GE(met, 50u);
  EXPECT_LT(met, 85u) << "1 - (1 - 2048/64512)^32 is 64 %";
}

TEST(PortGuess, ShootsAtEachPortOnceNeverAtLowOnesAndNoFasterThanItMay) {
  SeededRng rng(1);
  PortGuess easy(kStart, GuessSide::easy, kHard, 0, rng);
  std::map<uint16_t, size_t> ports;
  size_t sent = 0;
  for (Mono now = kStart; now < kStart + kGuessTime + 1s; now += 1ms) {
    for (const auto& s : easy.on_deadline(now)) ports[s.to.port]++, sent++;
    const double seconds = std::chrono::duration<double>(now - kStart).count();
    EXPECT_LE(static_cast<double>(sent), seconds * kGuessesPerSecond + 2);
  }
  EXPECT_EQ(sent, kMaxGuesses);
  EXPECT_EQ(ports.size(), kMaxGuesses);
  EXPECT_GE(ports.begin()->first, kLowestGuess);
  EXPECT_EQ(easy.state(), State::failed);
  EXPECT_TRUE(easy.on_deadline(kStart + kGuessTime + 2s).empty());
}

TEST(PortGuess, MakesNoBurstUpForAPause) {
  SeededRng rng(1);
  PortGuess easy(kStart, GuessSide::easy, kHard, 0, rng);
  static_cast<void>(easy.on_deadline(kStart));
  EXPECT_LE(easy.on_deadline(kStart + 5s).size(), 12u);
}

TEST(PortGuess, OfTheHardSideEachSocketSendsTwice) {
  SeededRng rng(1);
  PortGuess hard(kStart, GuessSide::hard, kEasy, 100, rng);
  std::map<size_t, size_t> of;
  for (Mono now = kStart; now < kStart + kGuessTime + 1s; now += 1ms) {
    for (const auto& s : hard.on_deadline(now)) of[s.socket]++;
  }
  EXPECT_EQ(of.size(), 100u);
  for (const auto& [socket, times] : of) EXPECT_EQ(times, 2u);
  EXPECT_EQ(hard.state(), State::failed);
}

TEST(PortGuess, AnswersNoMoreOnceItIsThroughThanBefore) {
  SeededRng rng(1);
  PortGuess hard(kStart, GuessSide::hard, kEasy, 4, rng);
  size_t answers = 0;
  for (int i = 0; i < 1'000; i++) answers += hard.on_message(kStart, 2, kEasy, Kind::probe);
  EXPECT_EQ(hard.state(), State::through);
  EXPECT_LE(answers, kMaxPunchAnswers + 1);
  EXPECT_GE(answers, kMaxPunchAnswers);
}

TEST(PortGuess, TheHardSideListensToTheEasyOnesEndpointAlone) {
  SeededRng rng(1);
  PortGuess hard(kStart, GuessSide::hard, kEasy, 4, rng);
  EXPECT_FALSE(hard.on_message(kStart, 1, {kEasy.address, 99}, Kind::probe));
  EXPECT_FALSE(hard.on_message(kStart, 1, kHard, Kind::probe));
  EXPECT_EQ(hard.state(), State::trying);
  EXPECT_TRUE(hard.on_message(kStart, 2, kEasy, Kind::probe));
  EXPECT_EQ(hard.socket(), 2u);
  EXPECT_FALSE(hard.on_message(kStart, 3, kEasy, Kind::probe)) << "the first one stays";
  EXPECT_EQ(hard.socket(), 2u);
}

TEST(PortGuess, TheEasySideListensToThatAddressAloneAndGoesByAnswers) {
  SeededRng rng(1);
  PortGuess easy(kStart, GuessSide::easy, kHard, 0, rng);
  EXPECT_FALSE(easy.on_message(kStart, 0, {kEasy.address, 5000}, Kind::answer));
  EXPECT_EQ(easy.state(), State::trying);
  EXPECT_TRUE(easy.on_message(kStart, 0, {kHard.address, 5000}, Kind::probe)) << "of a socket that may lose yet";
  EXPECT_EQ(easy.state(), State::trying);
  EXPECT_FALSE(easy.on_message(kStart, 0, {kHard.address, 6000}, Kind::answer));
  EXPECT_EQ(easy.state(), State::through);
  EXPECT_EQ(easy.path().port, 6000);
  EXPECT_TRUE(easy.on_deadline(kStart + 1s).empty()) << "and shoots no more";
}

TEST(PortGuess, AnswersABoundedNumberOfProbes) {
  SeededRng rng(1);
  PortGuess easy(kStart, GuessSide::easy, kHard, 0, rng);
  size_t answered = 0;
  for (uint16_t i = 0; i < 1000; i++) answered += easy.on_message(kStart, 0, {kHard.address, static_cast<uint16_t>(2000 + i)}, Kind::probe);
  EXPECT_EQ(answered, kMaxPunchAnswers);
}

}  // namespace
}  // namespace macrovpn::discovery
