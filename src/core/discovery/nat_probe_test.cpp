// Against NATs as RFC 4787 describes them, with relays that answer as ours do; real ones in tests/e2e/nat_test.py.
#include "core/discovery/nat_probe.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>

namespace macrovpn::discovery {
namespace {

const Endpoint kInside = *Endpoint::parse("192.168.1.2:5000");

struct NatWorld {
  NatMapping mapping = NatMapping::endpoint_independent;
  NatFiltering filtering = NatFiltering::address_and_port_dependent;
  std::set<size_t> dead;                         // servers
  bool a_tells = true;                           // A passes calls on
  std::function<bool()> lost = [] { return false; };
  size_t count = 3;
  int sent = 0;

  static StunServer server(size_t i) {
    return {StunServer::Kind::relay, PeerId{{static_cast<uint8_t>(i + 1)}}, *Endpoint::parse("198.51.100." + std::to_string(i + 1) + ":51820")};
  }
  // The outside port for a destination.
  Endpoint outside(const Endpoint& to) {
    if (mapping == NatMapping::none) return kInside;
    const Endpoint key = mapping == NatMapping::endpoint_dependent ? to : Endpoint{};
    const auto at = ports.try_emplace(key, static_cast<uint16_t>(20'000 + ports.size())).first;
    return {*IpAddress::parse("203.0.113.10"), at->second};
  }
  bool lets_in(const Endpoint& from, const Endpoint& to) {
    for (const Endpoint& called : spoken) {
      if (outside(called) != to && mapping != NatMapping::none) continue;
      if (filtering == NatFiltering::endpoint_independent || called == from) return true;
      if (filtering == NatFiltering::address_dependent && called.address == from.address) return true;
    }
    return false;
  }
  void deliver(NatProbe& p, const Endpoint& from, const Endpoint& to, const stun::Message& request, bool called) {
    if (lost() || !lets_in(from, to)) return;
    const auto answer = stun::write_answer(request.id, to, called ? stun::Called::yes : stun::Called::no);
    p.on_answer(now, from, *stun::read(answer, stun::Extent::exact));
  }
  void relay(NatProbe& p, const NatProbe::ToSend& s) {
    const Endpoint to = server(s.server).endpoint;
    spoken.insert(to);
    sent++;
    if (dead.contains(s.server) || lost()) return;
    const auto m = stun::read(s.message, stun::Extent::exact);
    const Endpoint seen = outside(to);
    Endpoint from = to;
    if (m->answer_from == stun::From::other_port) from.port++;
    const bool told = m->call_back && a_tells;
    deliver(p, from, seen, *m, told);
    for (size_t i = 0; told && i < count; i++) {
      if (server(i).relay == *m->call_back && !dead.contains(i) && !lost()) deliver(p, server(i).endpoint, seen, *m, false);
    }
  }
  NatReport run(uint64_t seed = 1) {
    SeededRng rng(seed);
    std::vector<StunServer> servers;
    for (size_t i = 0; i < count; i++) servers.push_back(server(i));
    NatProbe p(servers, kInside, rng);
    p.start(now);
    for (int step = 0; !p.done(); step++) {
      if (step > 200) {
        ADD_FAILURE() << "it never ends";
        break;
      }
      for (const auto& s : p.take()) relay(p, s);
      if (p.done()) break;
      now = std::max(now, p.next_deadline());
      p.on_deadline(now);
    }
    took = now - Mono(1000s);
    return p.report();
  }
  Mono now{1000s};
  Duration took{};
  std::map<Endpoint, uint16_t> ports{};
  std::set<Endpoint> spoken{};
};

using M = NatMapping;
using F = NatFiltering;
struct Row {
  M mapping;
  F filtering;
  NatClass nat;
};
constexpr Row kRows[] = {
    {M::none, F::endpoint_independent, NatClass::open},
    {M::none, F::address_and_port_dependent, NatClass::cone},
    {M::endpoint_independent, F::endpoint_independent, NatClass::mapped},
    {M::endpoint_independent, F::address_dependent, NatClass::cone},
    {M::endpoint_independent, F::address_and_port_dependent, NatClass::cone},
    {M::endpoint_dependent, F::address_and_port_dependent, NatClass::hard},
    {M::endpoint_dependent, F::address_dependent, NatClass::hard},
};

TEST(NatProbe, FindsEveryKindWithTwoRelaysAndWithThree) {
  for (const size_t count : {size_t{2}, size_t{3}}) {
    for (const Row& row : kRows) {
      NatWorld w{.mapping = row.mapping, .filtering = row.filtering};
      w.count = count;
      const NatReport r = w.run();
      EXPECT_EQ(r.mapping, row.mapping);
      EXPECT_EQ(r.filtering, row.filtering) << name_of(row.mapping) << ", " << name_of(row.filtering) << ", " << count;
      EXPECT_EQ(r.nat, row.nat);
      EXPECT_EQ(r.answered, count);
      EXPECT_LE(w.took, 3s);
    }
  }
}

TEST(NatProbe, OneRelayIsTooFewToJudge) {
  NatWorld w;
  w.count = 1;
  const NatReport r = w.run();
  EXPECT_EQ(r.mapping, M::unknown);
  EXPECT_EQ(r.filtering, F::unknown);
  EXPECT_EQ(r.nat, NatClass::unknown);
  EXPECT_TRUE(r.outside);
}

TEST(NatProbe, AnotherRelayTakesThePlaceOfADeadFirstOne) {
  NatWorld w{.dead = {0}};
  const NatReport r = w.run();
  EXPECT_EQ(r.nat, NatClass::cone);
  EXPECT_EQ(r.answered, 2u);
}

TEST(NatProbe, SaysNothingOfFilteringIfTheCallerIsDeadOrWasNotTold) {
  NatWorld silent{.filtering = F::address_and_port_dependent, .dead = {2}};
  EXPECT_EQ(silent.run().filtering, F::unknown);
  NatWorld untold{.filtering = F::address_and_port_dependent, .a_tells = false};
  const NatReport r = untold.run();
  EXPECT_EQ(r.filtering, F::unknown);
  EXPECT_EQ(r.mapping, M::endpoint_independent);
}

TEST(NatProbe, WhereNobodyAnswersItIsSilentAndEnds) {
  NatWorld w{.dead = {0, 1, 2}};
  const NatReport r = w.run();
  EXPECT_EQ(r.nat, NatClass::silent);
  EXPECT_EQ(r.answered, 0u);
  EXPECT_FALSE(r.outside);
  EXPECT_LE(w.took, 6s);
  EXPECT_LE(w.sent, 3 * 4 * NatProbe::kTries);
}

TEST(NatProbe, LossesDoNotMakeItConcludeWhatIsNot) {
  int unknown = 0, runs = 0;
  for (uint64_t seed = 1; seed <= 200; seed++) {
    for (const Row& row : kRows) {
      SeededRng dice(seed * 77);
      NatWorld w{.mapping = row.mapping, .filtering = row.filtering};
      w.lost = [&] { return dice.below(100) < 5; };
      const NatReport r = w.run(seed);
      EXPECT_TRUE(r.mapping == row.mapping || r.mapping == M::unknown);
      runs++;
      unknown += r.nat != row.nat;
    }
  }
  EXPECT_LT(unknown * 1000, runs * 5) << "of " << runs;
}

TEST(NatProbe, AnswersOfOthersDoNotCount) {
  SeededRng rng(1);
  NatProbe p({NatWorld::server(0), NatWorld::server(1)}, kInside, rng);
  p.start(Mono(1s));
  for (const auto& s : p.take()) {
    auto m = *stun::read(s.message, stun::Extent::exact);
    m.kind = stun::Kind::answer;
    m.mapped = kInside;
    p.on_answer(Mono(1s), *Endpoint::parse("192.0.2.66:51820"), m);  // right id, wrong place
    m.id[0] ^= 1;
    p.on_answer(Mono(1s), NatWorld::server(s.server).endpoint, m);  // right place, wrong id
  }
  while (!p.done()) p.on_deadline(p.next_deadline());
  EXPECT_EQ(p.report().answered, 0u);
}

TEST(NatProbe, AnOrdinaryServerThatCannotAnswerFromElsewhereSaysNothingOfFiltering) {
  SeededRng rng(1);
  const auto server = [](size_t i) {
    auto s = NatWorld::server(i);
    s.kind = StunServer::Kind::stun;
    return s;
  };
  NatProbe p({server(0), server(1)}, kInside, rng);
  p.start(Mono(1s));
  Mono now(1s);
  while (!p.done()) {
    for (const auto& s : p.take()) {
      auto m = *stun::read(s.message, stun::Extent::exact);
      EXPECT_FALSE(m.call_back);
      m.kind = m.answer_from == stun::From::same ? stun::Kind::answer : stun::Kind::refusal;
      m.mapped = *Endpoint::parse("203.0.113.10:777");
      p.on_answer(now, NatWorld::server(s.server).endpoint, m);
    }
    if (p.done()) break;
    now = p.next_deadline();
    p.on_deadline(now);
  }
  EXPECT_EQ(p.report().mapping, M::endpoint_independent);
  EXPECT_EQ(p.report().filtering, F::unknown);
}

}  // namespace
}  // namespace macrovpn::discovery
