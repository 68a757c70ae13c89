// Two punching relays behind every pair of NATs, on a virtual clock.
#include "core/discovery/punch.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>

namespace macrovpn::discovery {
namespace {

using Kind = PunchMessage::Kind;
using State = Punch::State;

Endpoint at(uint8_t host, uint16_t port) { return {IpAddress::v4({203, 0, 113, host}), port}; }

// As RFC 4787 has them; every one of these is met in homes.
enum class NatKind { open, mapped, cone, hard };

struct Nat {
  NatKind kind;
  uint8_t host;
  std::map<Endpoint, uint16_t> ports{};  // hard: by where it goes
  std::set<Endpoint> sent_to{};
  uint16_t next_port = 30000;
  // From where the other sees it.
  Endpoint leave(const Endpoint& to) {
    sent_to.insert(to);
    if (kind != NatKind::hard) return at(host, 51820);
    if (!ports.contains(to)) ports[to] = next_port += 7;
    return at(host, ports[to]);
  }
  bool lets_in(const Endpoint& from, const Endpoint& to) const {
    if (kind == NatKind::hard) return ports.contains(from) && ports.at(from) == to.port;
    return to.port == 51820 && (kind != NatKind::cone || sent_to.contains(from));
  }
};

struct Side {
  Nat nat;
  Punch punch;
};

// What an introducer would have seen: a hard NAT shows it a port that is nobody else's.
Endpoint seen_by_introducer(NatKind kind, uint8_t host) { return at(host, kind == NatKind::hard ? 29999 : 51820); }

struct Pair {
  Pair(NatKind a, NatKind b, Duration skew = 0ms) : sides{Side{{a, 1}, Punch(start, seen_by_introducer(b, 2))}, Side{{b, 2}, Punch(start + skew, seen_by_introducer(a, 1))}} {}
  void run(const std::function<bool(size_t)>& lost = [](size_t) { return false; }) {
    for (Mono now = start; now < start + kPunchTime + 1s; now += 5ms) {
      for (size_t i = 0; i < 2; i++) {
        for (const Endpoint& to : sides[i].punch.on_deadline(now)) send(now, i, to, Kind::probe);
      }
      while (!wire.empty() && wire.begin()->first <= now) {
        const Flight f = wire.extract(wire.begin()).mapped();
        Side& s = sides[f.to];
        if (lost(delivered++) || !s.nat.lets_in(f.source, f.at)) continue;
        if (s.punch.on_message(now, f.source, f.kind)) send(now, f.to, f.source, Kind::answer);
        if (s.punch.state() == State::through && through_at[f.to] == kNever) through_at[f.to] = now;
      }
    }
  }
  void send(Mono now, size_t from, const Endpoint& to, Kind kind) {
    sent++;
    wire.emplace(now + 20ms, Flight{1 - from, sides[from].nat.leave(to), to, kind});
  }
  bool both() const { return sides[0].punch.state() == State::through && sides[1].punch.state() == State::through; }
  struct Flight {
    size_t to;
    Endpoint source, at;
    Kind kind;
  };
  static constexpr Mono start{1000s};
  std::array<Side, 2> sides;
  std::array<Mono, 2> through_at{kNever, kNever};
  std::multimap<Mono, Flight> wire;
  size_t sent = 0, delivered = 0;
};

constexpr std::array kKinds = {NatKind::open, NatKind::mapped, NatKind::cone, NatKind::hard};
bool can_meet(NatKind a, NatKind b) {
  const bool one_is_hard = a == NatKind::hard || b == NatKind::hard;
  return !one_is_hard || a == NatKind::open || b == NatKind::open || a == NatKind::mapped || b == NatKind::mapped;
}

TEST(Punch, OpensTheWayBetweenAllPairsThatCanMeetAndNoOther) {
  for (const NatKind a : kKinds) {
    for (const NatKind b : kKinds) {
      Pair p(a, b);
      p.run();
      EXPECT_EQ(p.both(), can_meet(a, b)) << int(a) << " " << int(b);
      if (can_meet(a, b)) {
        EXPECT_LE(p.through_at[0] - Pair::start, 200ms) << int(a) << " " << int(b);
      } else {
        EXPECT_EQ(p.sides[0].punch.state(), State::failed);
        EXPECT_EQ(p.sides[1].punch.state(), State::failed);
      }
    }
  }
}

TEST(Punch, DoesNotMindThatOneSideBeginsLater) {
  for (const Duration skew : {100ms, 400ms, 1500ms}) {
    Pair p(NatKind::cone, NatKind::cone, skew);
    p.run();
    EXPECT_TRUE(p.both());
  }
}

TEST(Punch, LivesWithLosses) {
  int met = 0;
  for (size_t seed = 0; seed < 200; seed++) {
    uint64_t x = seed * 2654435761u + 1;
    Pair p(NatKind::cone, NatKind::cone);
    p.run([&](size_t) { return (x = x * 6364136223846793005u + 1442695040888963407u) >> 33 < (uint64_t{1} << 31) * 3 / 10; });
    met += p.both();
  }
  EXPECT_GE(met, 198) << "of 200, at 30 % loss";
}

TEST(Punch, FindsTheOtherWhereItReallyIs) {
  Pair p(NatKind::open, NatKind::hard);
  p.run();
  EXPECT_EQ(p.sides[0].punch.path(), at(2, 30007));
  EXPECT_EQ(p.sides[1].punch.path(), at(1, 51820));
}

TEST(Punch, SendsAndAnswersNoMoreThanItsBounds) {
  Pair p(NatKind::hard, NatKind::hard);
  p.run();
  EXPECT_LE(p.sent, 2 * kMaxProbes);
  Punch lone(Mono(1s), at(2, 1));
  size_t answered = 0, probes = 0;
  for (uint16_t i = 0; i < 1000; i++) answered += lone.on_message(Mono(1s), at(3, i), Kind::probe);
  EXPECT_EQ(answered, kMaxPunchAnswers);
  probes = lone.on_deadline(Mono(1s)).size();
  EXPECT_LE(probes, kMaxPunchTargets);
  for (Mono now(1s); now < Mono(8s); now += 5ms) probes += lone.on_deadline(now).size();
  EXPECT_LE(probes, kMaxProbes);
}

TEST(Punch, BelievesNoAnswerFromWhereItNeverSent) {
  Punch p(Mono(1s), at(2, 1));
  EXPECT_FALSE(p.on_message(Mono(1s), at(9, 9), Kind::answer));
  EXPECT_EQ(p.state(), State::trying);
  EXPECT_FALSE(p.on_message(Mono(1s), at(2, 1), Kind::answer));
  EXPECT_EQ(p.state(), State::through);
  EXPECT_FALSE(p.on_message(Mono(1s) + kPunchTime, at(2, 1), Kind::probe)) << "it is over";
}

TEST(PunchMessage, StandsOnTheWireAsDrawn) {
  PunchMessage m{PunchMessage::Kind::answer, {1, 2}, {}, {9}};
  m.from.bytes.fill(7);
  auto d = write_punch(m);
  ASSERT_EQ(d.size(), kPunchSize);
  EXPECT_TRUE(d[1] == 0x13 && d[3] == 44 && d[4] == 0x21 && d[8] == 1 && d[20] == 0xc0 && d[21] == 0xf3 && d[24] == 1 && d[28] == 7 && d[48] == 9);
  d.resize(100, 0x55);
  const auto back = read_punch(d);
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->kind == m.kind && back->nonce == m.nonce && back->from == m.from && back->mac == m.mac);
  for (size_t n = 0; n < kPunchSize; n++) EXPECT_FALSE(read_punch(Bytes(d).first(n)));
  for (const size_t i : {0, 1, 2, 3, 4, 5, 6, 7, 20, 21, 22, 23, 25, 26, 27}) {
    auto bad = d;
    bad[i] ^= 0x80;
    EXPECT_FALSE(read_punch(bad)) << i;
  }
  d[24] = 2;
  EXPECT_FALSE(read_punch(d));
}

}  // namespace
}  // namespace macrovpn::discovery
